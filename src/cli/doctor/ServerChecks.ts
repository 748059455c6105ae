import { Effect, Option, Predicate, Result } from "effect"
import { HttpClientRequest } from "effect/http"
import type { Settings } from "../../config/OktaConfig.ts"
import { basePathOf } from "../../config/PublicUrl.ts"
import { readKeySet } from "../../provider/JsonWebKey.ts"
import { excerpt } from "../../provider/Quoted.ts"
import * as AuthorizationServerMetadata from "../../proxy/AuthorizationServerMetadata.ts"
import type { ProxySettings } from "../../proxy/ProxySettings.ts"
import * as ResourceMetadata from "../../resource/ResourceMetadata.ts"
import { type Ask, readJson } from "./Ask.ts"
import { challenge } from "./ChallengeCheck.ts"
import { type Check, failed, ok, skipped } from "./Check.ts"
import * as LeavingChecks from "./LeavingChecks.ts"
import { ring } from "./SecretChecks.ts"
import { otherwise, unreached } from "./Trouble.ts"

/** A page of another origin, as a client in a browser would be. */
const origin = "https://client.example"

type Members = { readonly [member: string]: unknown }

/** The first member that is not what it has to be. */
const difference = (actual: Members, expected: Members): string | undefined => {
  const at = Object.keys(expected).find((name) => JSON.stringify(actual[name]) !== JSON.stringify(expected[name]))
  return at === undefined
    ? undefined
    : `${at} is ${excerpt(JSON.stringify(actual[at]) ?? "missing")}, and has to be ${JSON.stringify(expected[at])}`
}

/** A document of ours as a client in a browser reads it, beside what it has to say. */
const document = Effect.fnUntraced(function*(
  ask: Ask,
  check: string,
  url: string,
  decide: (json: unknown) => string | undefined
): Effect.fn.Return<Check> {
  const at = { check, tried: `GET ${url}` }
  const asked = yield* Effect.result(ask(HttpClientRequest.get(url, { acceptJson: true, headers: { origin } })))
  if (Result.isFailure(asked)) return failed({ ...at, ...unreached(url, asked.failure, "this server") })
  const answer = asked.success
  const json = readJson(answer.text)
  if (answer.status !== 200 || Result.isFailure(json)) return failed({ ...at, ...otherwise(answer, url) })
  const problem = decide(json.success)
  if (problem !== undefined) {
    return failed({
      ...at,
      found: problem,
      meaning: "Clients compare it byte for byte, and stop when it differs.",
      mend:
        "Start the server with the same settings as this command, SERVER_URL and --path among them, and look whether the " +
        "reverse proxy leads to it."
    })
  }
  const allowed = answer.headers["access-control-allow-origin"]
  return allowed === "*" || allowed === origin ? ok({ ...at, found: "as it has to be" }) : failed({
    ...at,
    found: `access-control-allow-origin is ${excerpt(allowed ?? "missing")}`,
    meaning: "Clients in a browser cannot read it.",
    mend: "Let the reverse proxy leave the headers of CORS as they are."
  })
})

const saying = (expected: Members) => (json: unknown) =>
  Predicate.isObject(json) ? difference(json, expected) : "it is not an object"

/** What of our metadata follows from the settings that this command knows. */
const essentials = (settings: ProxySettings): Members => {
  const all = Object.entries(AuthorizationServerMetadata.document(settings))
  return Object.fromEntries(
    all.filter(([name, value]) => Predicate.isString(value) || name === "code_challenge_methods_supported")
  )
}

/** The keys that verify this server's tokens, beside those of the settings. */
const publishedKeys = Effect.fnUntraced(function*(ask: Ask, settings: ProxySettings) {
  const kids = Option.match(yield* Effect.orElseSucceed(ring(settings), Option.none), {
    onNone: () => [],
    onSome: ({ kids }) => kids()
  })
  return yield* document(ask, "published-keys", `${settings.serverUrl}/.well-known/jwks.json`, (json) => {
    const set = readKeySet(json)
    if (Result.isFailure(set)) return `it ${set.failure}`
    const missing = kids.find((kid) => !set.success.keys.has(kid))
    return missing === undefined ? undefined : `the key ${missing} of SIGNING_KEYS is missing`
  })
})

/** Where clients look for the metadata of an authorization server (RFC 8414 section 3, and what came before it). */
const authorizationServerPlaces = (serverUrl: string): ReadonlyArray<string> => {
  const base = basePathOf(serverUrl)
  const { origin } = new URL(serverUrl)
  return [
    ...new Set(
      ["oauth-authorization-server", "openid-configuration"].flatMap((name) => [
        `${origin}/.well-known/${name}${base}`,
        `${serverUrl}/.well-known/${name}`
      ])
    )
  ]
}

/** This server by its public URL, as a client sees it. */
export const look = Effect.fnUntraced(function*(
  ask: Ask,
  settings: Settings
): Effect.fn.Return<ReadonlyArray<Check>> {
  const { serverUrl } = settings
  if (serverUrl === undefined) {
    return [skipped({
      check: "server",
      tried: "SERVER_URL",
      found: "not set",
      meaning: "Without it clients are not told where to sign in, and there is nothing that could be looked at."
    })]
  }
  const resources = ResourceMetadata.protectedResources(settings)
  const places = new Map(resources.map((resource) => [resource.metadataUrl, resource]))
  const whole = resources.at(-1)
  const atRoot = `${new URL(serverUrl).origin}/.well-known/oauth-protected-resource`
  if (whole !== undefined && !places.has(atRoot)) places.set(atRoot, whole)

  const metadata = Array.from(places, ([url, resource]) => {
    const { authorization_servers, resource: identifier } = ResourceMetadata.document(settings, resource)
    return document(ask, "resource-metadata", url, saying({ resource: identifier, authorization_servers }))
  })
  const guarded = resources.filter(({ path }) => path !== "").map((resource) => challenge(ask, resource))
  const own = settings.mode === "native" ? [] : [
    ...authorizationServerPlaces(settings.serverUrl).map((url) =>
      document(ask, "server-metadata", url, saying(essentials(settings)))
    ),
    publishedKeys(ask, settings),
    ...LeavingChecks.reachable(ask, settings)
  ]
  const checks = yield* Effect.all([...metadata, ...own, ...guarded], { concurrency: 4 })
  const first = checks.find(({ outcome }) => outcome === "failed")
  // Nobody there: that is told once.
  const nobody = first !== undefined &&
    checks.every(({ meaning, outcome }) => outcome === "failed" && meaning === first.meaning)
  const reach = serverUrl.startsWith("https:") ? [] : [skipped({
    check: "server",
    tried: `SERVER_URL ${serverUrl}`,
    found: "a loopback address",
    meaning: "Only clients on this machine can use it; for others it has to be https."
  })]
  return [...reach, ...nobody ? [{ ...first, check: "server" }] : checks]
})
