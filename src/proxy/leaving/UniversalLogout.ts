import { ByteSize, Effect, type Layer, Option, Schema } from "effect"
import { HttpIncomingMessage, HttpRouter, type HttpServerRequest } from "effect/http"
import type { InvalidConfiguration } from "../../config/InvalidConfiguration.ts"
import type { OktaConfig } from "../../config/OktaConfig.ts"
import * as BearerCredentials from "../../resource/BearerCredentials.ts"
import * as StrictJson from "../../token/StrictJson.ts"
import { answering, pathsOf } from "../Endpoint.ts"
import { BodyTooLarge, MalformedRequest } from "../FormRequest.ts"
import { Grants } from "../grant/Grant.ts"
import * as GrantIndex from "../grant/GrantIndex.ts"
import { proxySettings } from "../ProxySettings.ts"
import * as LogoutAnswer from "./LogoutAnswer.ts"
import { OktaStatements, orgIssuer } from "./OktaStatements.ts"

const Text = Schema.NonEmptyString.check(Schema.isMaxLength(1000))

/** Whom it is about (RFC 9493 sections 3.2.2 and 3.2.3). */
const Subject = Schema.Union([
  Schema.Struct({ format: Schema.Literal("iss_sub"), iss: Text, sub: Text }),
  Schema.Struct({ format: Schema.Literal("email"), email: Text })
])

/** The body: `subject` in earlier versions of the draft, and in Okta's guide. */
const Body = Schema.Union([Schema.Struct({ sub_id: Subject }), Schema.Struct({ subject: Subject })], { mode: "oneOf" })

const decode = Schema.decodeUnknownOption(Body)

const limit = ByteSize.kibibytes(16)
const tooLarge = new BodyTooLarge({ limit: ByteSize.toNumberUnsafe(limit) })

const malformed = (reason: string) => new MalformedRequest({ reason })

const readSubject = Effect.fnUntraced(function*(
  request: HttpServerRequest.HttpServerRequest
): Effect.fn.Return<typeof Subject.Type, MalformedRequest | BodyTooLarge> {
  const { "content-length": length, "content-type": type = "" } = request.headers
  if (Number(length) > tooLarge.limit) return yield* tooLarge
  if (!/^application\/json\s*(?:;|$)/i.test(type)) return yield* malformed("its body is not JSON")
  const bytes = yield* request.arrayBuffer.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, limit),
    Effect.mapError(({ reason }) =>
      reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"
        ? tooLarge
        : malformed("its body could not be read")
    )
  )
  const body = Option.getOrUndefined(decode(StrictJson.parse(Buffer.from(bytes))))
  if (body === undefined) {
    return yield* malformed("its body names nobody by sub_id, in the format iss_sub or email")
  }
  return "sub_id" in body ? body.sub_id : body.subject
})

/**
 * `/oauth/global-token-revocation`: Okta has everything of a person ended, who has left or may be somebody else by now (Universal
 * Logout). Every grant ends with its tokens, on every server.
 *
 * **Details**
 *
 * There is no rate limit: Okta may have a whole department leave, and others get no further than the signature.
 *
 * @see https://datatracker.ietf.org/doc/draft-parecki-oauth-global-token-revocation/
 * @see https://developer.okta.com/docs/guides/oin-universal-logout-overview/
 */
export const routes: Layer.Layer<
  never,
  InvalidConfiguration,
  HttpRouter.HttpRouter | OktaConfig | Grants | OktaStatements
> = HttpRouter.use((router) =>
  Effect.gen(function*() {
    const settings = yield* proxySettings
    const grants = yield* Grants
    const { obey } = yield* OktaStatements
    const issuers = [settings.issuer, orgIssuer(settings)]

    const nameOf = (subject: typeof Subject.Type): GrantIndex.Name | undefined =>
      subject.format === "email"
        ? GrantIndex.email(subject.email)
        : issuers.includes(subject.iss)
        ? GrantIndex.subject(subject.sub)
        : undefined

    const endPerson = Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest) {
      const name = nameOf(yield* readSubject(request))
      return name === undefined ? undefined : yield* grants.endAll(name, "universal-logout")
    })

    const revoke = Effect.fnUntraced(
      function*(request: HttpServerRequest.HttpServerRequest) {
        const credentials = BearerCredentials.read(request)
        if (credentials._tag === "None") return yield* new LogoutAnswer.NoCredentials({})
        if (credentials._tag === "Malformed") return yield* malformed(`it has ${credentials.reason}`)
        const ended = yield* obey("global-token-revocation", credentials.token, () => endPerson(request))
        if (ended === undefined) return yield* new LogoutAnswer.UnknownPerson({})
        yield* Effect.logInfo(`Okta had a person signed out everywhere (Universal Logout): ${ended} grants have ended`)
        return LogoutAnswer.done(204)
      },
      Effect.catch(LogoutAnswer.refuse("bearer"))
    )
    for (const path of pathsOf(settings, "/oauth/global-token-revocation")) {
      yield* answering(router, path, { POST: revoke })
    }
  })
)
