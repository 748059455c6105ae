import { Duration, Effect, Result, Schema } from "effect"
import { wellKnownUrls } from "../../config/IssuerUrl.ts"
import type { Settings } from "../../config/OktaConfig.ts"
import { readKeySet } from "../../provider/JsonWebKey.ts"
import { excerpt } from "../../provider/Quoted.ts"
import { fromDocument, type ServerMetadata } from "../../provider/ServerMetadata.ts"
import { type Ask, type Document, document } from "./Ask.ts"
import { type Check, failed, ok, skipped, type Trouble, warning } from "./Check.ts"

/** What must be known to look at Okta. */
export type OktaSettings = Pick<Settings, "issuer" | "foreignEndpoints" | "algorithms" | "clockTolerance">

/** A member that is as absent where it is not of its type. */
const ifOfType = <T, E>(schema: Schema.Codec<T, E>) =>
  Schema.optionalKey(schema.pipe(Schema.catchDecoding(() => Effect.succeedNone)))

const strings = ifOfType(Schema.Array(Schema.String))

/** What a server says about itself beyond what this library lives by. */
const Advertised = Schema.Struct({
  scopes_supported: strings,
  id_token_signing_alg_values_supported: strings,
  grant_types_supported: strings,
  acr_values_supported: strings,
  dpop_signing_alg_values_supported: strings,
  backchannel_logout_supported: ifOfType(Schema.Boolean)
})

/** What a server says about itself beyond what this library lives by. */
export type Advertised = typeof Advertised.Type

const decodeAdvertised = Schema.decodeUnknownResult(Advertised)
const decodeIssuer = Schema.decodeUnknownResult(Schema.Struct({ issuer: Schema.String }))

/** Okta's metadata, checked. */
export interface Metadata {
  readonly metadata: ServerMetadata
  readonly advertised: Advertised
  readonly clockSkew: number | undefined
}

/** What was found out about Okta. */
export interface OktaFindings {
  readonly checks: ReadonlyArray<Check>
  readonly okta: Metadata | undefined
}

const read = ({ clockSkew, json }: Document, url: string, settings: OktaSettings): Result.Result<Metadata, Trouble> =>
  Result.mapBoth(fromDocument(json, settings), {
    onSuccess: (metadata) => ({
      metadata,
      advertised: Result.getOrElse(decodeAdvertised(json), () => ({})),
      clockSkew
    }),
    onFailure: (problem) => {
      const issuer = Result.map(decodeIssuer(json), ({ issuer }) => issuer)
      return {
        found: `it ${problem}`,
        ...(Result.isSuccess(issuer) && issuer.success !== settings.issuer
          ? {
            meaning: "Tokens carry the issuer as Okta writes it, and it is compared byte for byte.",
            mend: `If that is your Okta, set OKTA_ISSUER to ${excerpt(issuer.success)}`
          }
          : {
            meaning: "A document that is not in order is not used, since it could send people elsewhere.",
            mend: `Look at ${url} in a browser: does it come from Okta, and from the host that you use?`
          })
      }
    }
  })

/** The metadata at both places where it can be, as the server reads it and as clients do. */
const discovery = Effect.fnUntraced(function*(ask: Ask, settings: OktaSettings) {
  const urls = wellKnownUrls(settings.issuer)
  const found = yield* Effect.forEach(
    urls,
    (url) => Effect.map(document(ask, url), Result.flatMap((document) => read(document, url, settings))),
    { concurrency: "unbounded" }
  )
  const usable = found.find(Result.isSuccess)
  const checks = found.map((one, index) => {
    const place = { check: "discovery", tried: `GET ${urls[index]}` }
    if (Result.isSuccess(one)) return ok({ ...place, found: "metadata, of this issuer" })
    if (usable === undefined) return failed({ ...place, ...one.failure })
    return one.failure.found.startsWith("404")
      ? skipped({ ...place, found: one.failure.found, meaning: "It is not there, and the other one will do." })
      : warning({ ...place, ...one.failure })
  })
  // One trouble at both places is told once.
  const [first, second] = checks
  const same = usable === undefined && first?.meaning === second?.meaning && first?.mend === second?.mend
  return { checks: same ? checks.slice(0, 1) : checks, okta: usable?.success }
})

const keysMaxBytes = 256 * 1024

/** The keys with which tokens are verified. */
const keys = Effect.fnUntraced(function*(ask: Ask, settings: OktaSettings, okta: Metadata) {
  const url = okta.metadata.jwks_uri
  const check = { check: "keys", tried: `GET ${url}` }
  const fetched = yield* document(ask, url, keysMaxBytes)
  if (Result.isFailure(fetched)) return [failed({ ...check, ...fetched.failure })]
  const set = readKeySet(fetched.success.json)
  if (Result.isFailure(set)) {
    return [failed({
      ...check,
      found: `it ${set.failure}`,
      meaning: "Without a key no token can be verified: every request is answered 503.",
      mend: "Look at Security, API, the authorization server, Signing keys; an RSA key needs 2048 bits or more."
    })]
  }
  const all = [...set.success.keys.values()]
  const published = [...new Set(all.flatMap((key) => key.algorithms))]
  const count = `${all.length} usable ${all.length === 1 ? "key" : "keys"} (${published.join(", ")})`
  const usable = set.success.skipped.length === 0 ? ok({ ...check, found: count }) : warning({
    ...check,
    found: `${count}; not used: ${set.success.skipped.join("; ")}`,
    meaning: "Tokens that are signed with a key that is not used are refused.",
    mend: "Nothing, if these keys are for something else than access tokens."
  })
  return [usable, algorithms(settings, [...new Set([...published, ...signs(okta)])], published)]
})

const signs = ({ advertised }: Metadata) => advertised.id_token_signing_alg_values_supported ?? []

/** What is accepted, beside what Okta signs with. */
const algorithms = (
  settings: OktaSettings,
  offered: ReadonlyArray<string>,
  published: ReadonlyArray<string>
): Check => {
  const check = { check: "algorithms", tried: `accepting ${settings.algorithms.join(", ")}` }
  const common = published.filter((name) => settings.algorithms.some((accepted) => accepted === name))
  const found = `Okta signs with ${offered.join(", ")}`
  return common.length > 0 ? ok({ ...check, found }) : failed({
    ...check,
    found,
    meaning: "None of Okta's keys is for an algorithm that is accepted, so every token will be refused.",
    mend: `Name the algorithm in the option \`algorithms\` of OktaAuth.layerConfig, such as algorithms: ["${
      published[0]
    }"].`
  })
}

const seconds = (millis: number): number => Math.round(Math.abs(millis) / 1000)

/** How far Okta's clock and this machine's are apart. */
export const clock = (skew: number | undefined, { clockTolerance }: Pick<OktaSettings, "clockTolerance">): Check => {
  const check = { check: "clock", tried: "Okta's Date header, against this machine's clock" }
  if (skew === undefined) {
    return skipped({ ...check, found: "no date", meaning: "Without it nobody can tell whether the clocks agree." })
  }
  // A date without fractions of a second, and the time that it was on its way.
  if (Math.abs(skew) < 2000) return ok({ ...check, found: "the same time" })
  const tolerance = Duration.toMillis(clockTolerance)
  const found = `Okta's clock is ${seconds(skew)} seconds ${skew > 0 ? "ahead of" : "behind"} this machine's`
  const set = "Set this machine's clock, and keep it set by NTP: timedatectl set-ntp true"
  if (Math.abs(skew) > tolerance) {
    return failed({
      ...check,
      found,
      meaning: `That is more than clockTolerance, ${seconds(tolerance)} seconds: ` +
        (skew > 0 ? "fresh tokens are refused as not yet valid." : "tokens are refused as expired before their time."),
      mend: set
    })
  }
  return Math.abs(skew) * 2 <= tolerance
    ? ok({ ...check, found, meaning: `That is within clockTolerance, ${seconds(tolerance)} seconds.` })
    : warning({
      ...check,
      found,
      meaning: `clockTolerance is ${seconds(tolerance)} seconds: soon that is too much.`,
      mend: set
    })
}

/** Everything that can be seen of Okta without credentials. */
export const look = Effect.fnUntraced(function*(
  ask: Ask,
  settings: OktaSettings
): Effect.fn.Return<OktaFindings> {
  const { checks, okta } = yield* discovery(ask, settings)
  if (okta === undefined) {
    const left = ["keys", "clock"].map((check) =>
      skipped({ check, tried: "nothing", found: "Okta's metadata is needed first" })
    )
    return { checks: [...checks, ...left], okta }
  }
  return {
    checks: [...checks, ...(yield* keys(ask, settings, okta)), clock(okta.clockSkew, settings)],
    okta
  }
})
