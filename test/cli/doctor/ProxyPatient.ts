import { Context, Effect, Layer, Redacted } from "effect"
import { FetchHttpClient } from "effect/http"
import { randomBytes } from "node:crypto"
import { OktaConfig } from "../../../src/config/OktaConfig.ts"
import { type Client, webClient } from "../../../src/demo/StandInDirectory.ts"
import { TokenIssuer } from "../../../src/proxy/grant/IssuedToken.ts"
import { SigningKeys } from "../../../src/proxy/grant/SigningKeys.ts"
import { ec } from "../../proxy/grant/KeyRing.ts"
import { newFolder } from "../../store/StoreFile.ts"
import { OktaStandIn, type Options } from "../../support/OktaStandIn.ts"
import { front, serve } from "../Serving.ts"
import { type Case, doctor, type Environment } from "./Patient.ts"

export const clientSecret = webClient.clientSecret ?? ""

/** A secret as `effect-okta keys` makes them. */
export const encryptionSecret = randomBytes(32).toString("base64")

export const signingKeys = JSON.stringify({ keys: [{ ...ec(), kid: "one" }] })

export interface Wrong extends Pick<Case, "examination" | "token"> {
  readonly environment?: Environment
}

/** Okta, and a server in proxy mode before it with everything in order, whose address is known before it runs. */
export const make = Effect.fnUntraced(function*(
  okta: Options = {},
  application: Partial<Client> = {},
  basePath = ""
) {
  let target = "http://127.0.0.1:9"
  const serverUrl = (yield* front(() => target)) + basePath
  const standIn = yield* OktaStandIn.make({
    clients: [{ ...webClient, redirectUris: [`${serverUrl}/oauth/callback`], ...application }],
    ...okta
  })
  const folder = yield* newFolder
  const environment = {
    OKTA_ISSUER: standIn.issuer,
    OKTA_CLIENT_ID: webClient.clientId,
    OKTA_CLIENT_SECRET: clientSecret,
    SERVER_URL: serverUrl,
    SQLITE_FILE: `${folder}/sign-ins.sqlite`,
    ENCRYPTION_SECRET: encryptionSecret,
    SIGNING_KEYS: signingKeys
  }
  return {
    okta: standIn,
    serverUrl,
    folder,
    environment,
    /** Starts `effect-okta serve` at that address, with settings of its own on top. */
    serve: (settings: Readonly<Record<string, string>> = {}) =>
      Effect.map(serve(standIn, {}, { ...environment, OKTA_AUDIENCE: "", ...settings }), (url) => {
        target = url
      }),
    /** Where it really listens. */
    behind: () => target,
    /** Lets something else answer there. */
    answer: (url: string) => {
      target = url
    },
    doctor: (wrong: Wrong = {}) =>
      doctor({ client: FetchHttpClient.layer, ...wrong, environment: { ...environment, ...wrong.environment } })
  }
})

/** A token of the server's own, as it would issue one to a client of Ada's. */
export const issue = Effect.fnUntraced(function*(
  server: { readonly issuer: string; readonly serverUrl: string },
  resource: string
) {
  const config = OktaConfig.layer({
    ...server,
    clientId: webClient.clientId,
    clientSecret: Redacted.make(clientSecret),
    signingKeys: Redacted.make(signingKeys)
  })
  const layer = TokenIssuer.layer.pipe(Layer.provide(SigningKeys.layer), Layer.provide(config), Layer.fresh)
  const { token } = yield* Context.get(yield* Layer.build(layer), TokenIssuer).issue({
    principal: {
      _tag: "User",
      subject: "00u1ada",
      username: "ada@example.com",
      groups: [],
      scopes: ["mcp:read"],
      amr: [],
      clientId: "c"
    },
    resource
  })
  return Redacted.value(token)
})
