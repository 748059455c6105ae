import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { serviceClient } from "../../src/demo/StandInDirectory.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { ProofKey } from "../support/Proofs.ts"
import { run } from "./Command.ts"
import { make } from "./doctor/ProxyPatient.ts"
import { exchange, serve } from "./Serving.ts"

const serverUrl = "https://mcp.example.com"

/** By which `serve` may ask the stand-in about tokens. */
const credentials = {
  OKTA_INTROSPECTION_CLIENT_ID: serviceClient.clientId,
  OKTA_INTROSPECTION_CLIENT_SECRET: serviceClient.clientSecret ?? ""
}

// Processes of their own go by the clock on the wall, and so does the stand-in.
layer(OktaStandIn.layer(), { excludeTestServices: true })("effect-okta serve without code", (it) => {
  it.effect("DPOP=require: bearer tokens are refused, bound ones taken with a proof, and clients are told", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn
      const url = yield* serve(okta, {}, { SERVER_URL: serverUrl, DPOP: "require", DPOP_PROOF_LIFETIME: "10 seconds" })
      const bearer = yield* exchange(url, { headers: { authorization: `Bearer ${yield* okta.mint()}` } })
      assert.strictEqual(bearer.status, 401)
      assert.match(String(bearer.headers["www-authenticate"]), /^DPoP /)
      const metadata = yield* exchange(new URL("/.well-known/oauth-protected-resource/mcp", url).href)
      assert.strictEqual(JSON.parse(metadata.body.toString()).dpop_bound_access_tokens_required, true)

      const key = new ProofKey()
      const token = yield* okta.mint({ cnf: { jkt: key.thumbprint } })
      const call = (age: number) => {
        const iat = Math.floor(Date.now() / 1000) - age
        const dpop = key.proof({ iat, token, url: `${serverUrl}/mcp` })
        return exchange(url, { headers: { authorization: `DPoP ${token}`, dpop } })
      }
      // The built-in server answers no GET; who is refused gets that far no more.
      assert.strictEqual((yield* call(0)).status, 405)
      const old = yield* call(60)
      assert.strictEqual(old.status, 401)
      assert.include(String(old.headers["www-authenticate"]), "error=\"invalid_dpop_proof\"")
    }))

  it.effect.each(["recheck", "only"])(
    "OKTA_INTROSPECTION=%s: Okta is asked about each token, once",
    (mode) =>
      Effect.gen(function*() {
        const okta = yield* OktaStandIn
        const url = yield* serve(okta, {}, { ...credentials, OKTA_INTROSPECTION: mode })
        const { accessToken } = yield* okta.signIn({ redirectUri: "http://127.0.0.1:45678/callback" })
        const before = yield* okta.requests("introspect")
        for (const _ of [1, 2]) {
          const { status } = yield* exchange(url, { headers: { authorization: `Bearer ${accessToken}` } })
          assert.strictEqual(status, 405)
        }
        assert.strictEqual(yield* okta.requests("introspect"), before + 1)
      })
  )

  it.effect("REQUIRED_ACR and MAX_SIGN_IN_AGE: who signed in too weakly or too long ago is told what to ask for", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn
      const url = yield* serve(okta, {}, { REQUIRED_ACR: "urn:okta:loa:2fa:any phr", MAX_SIGN_IN_AGE: "15 minutes" })
      const seconds = Math.floor(Date.now() / 1000)
      const call = (claims: object) =>
        Effect.flatMap(
          okta.mint({ ...claims }),
          (token) => exchange(url, { headers: { authorization: `Bearer ${token}` } })
        )
      for (
        const claims of [{ acr: undefined }, { acr: "urn:okta:loa:1fa:any" }, { acr: "phr", auth_time: seconds - 1000 }]
      ) {
        const { headers, status } = yield* call({ auth_time: seconds, ...claims })
        assert.strictEqual(status, 401)
        assert.include(
          String(headers["www-authenticate"]),
          "acr_values=\"urn:okta:loa:2fa:any phr\", max_age=\"900\""
        )
      }
      assert.strictEqual((yield* call({ acr: "phr", auth_time: seconds })).status, 405)
      assert.strictEqual((yield* exchange(url)).status, 401)

      const server = yield* make()
      yield* server.serve({ REQUIRED_ACR: "phr" })
      const metadata = yield* exchange(`${server.serverUrl}/.well-known/oauth-authorization-server`)
      assert.deepStrictEqual(JSON.parse(metadata.body.toString()).acr_values_supported, ["phr"])
    }))

  it.effect("CLIENTS: a service gets a token for itself, and calls with it", () =>
    Effect.gen(function*() {
      const secret = "a secret of 32 bytes or more, made up"
      const server = yield* make()
      yield* server.serve({
        CLIENTS: JSON.stringify([{ clientId: "nightly", clientSecrets: [secret], serviceScopes: ["mcp:read"] }])
      })
      const given = yield* exchange(`${server.serverUrl}/oauth/token`, {
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body: new URLSearchParams({
          grant_type: "client_credentials",
          client_id: "nightly",
          client_secret: secret
        }).toString()
      })
      const { access_token, scope } = JSON.parse(given.body.toString())
      assert.deepStrictEqual([given.status, scope], [200, "mcp:read"])
      const call = (token: string) =>
        exchange(`${server.serverUrl}/mcp`, { headers: { authorization: `Bearer ${token}` } })
      assert.strictEqual((yield* call(access_token)).status, 405)
      assert.strictEqual((yield* call(`${access_token}x`)).status, 401)
    }))

  it.effect("all mistakes are told at once, whether by flag or by variable, and no secret with them", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn
      const { exitCode, stderr, stdout } = yield* run([
        "serve",
        "--dpop=require",
        "--dpop-proof-lifetime=soon",
        "--okta-introspection=often",
        "--required-acr=\"phr\"",
        "--max-sign-in-age=-1 minute"
      ], {
        env: {
          OKTA_ISSUER: okta.issuer,
          OKTA_AUDIENCE: okta.audience,
          DPOP_NONCES: "true",
          OKTA_INTROSPECTION_CLIENT_SECRET: "canary",
          OKTA_INTROSPECTION_CLIENT_KEY: "canary"
        }
      })
      assert.deepStrictEqual({ exitCode, stdout }, { exitCode: 2, stdout: "" })
      for (
        const mistake of [
          "DPOP cannot be required without SERVER_URL",
          "DPOP_NONCES is a setting of proxy mode",
          "DPOP_PROOF_LIFETIME (soon) is not a usable length of time",
          "OKTA_INTROSPECTION (often) is neither recheck nor only",
          "OKTA_INTROSPECTION_CLIENT_ID is missing",
          "REQUIRED_ACR (\"phr\") is no acr value",
          "MAX_SIGN_IN_AGE (-1 minute) is not a usable length of time",
          "OKTA_INTROSPECTION_CLIENT_KEY (<redacted>) is not a private key",
          "OKTA_INTROSPECTION_CLIENT_KEY (<redacted>) is given beside OKTA_INTROSPECTION_CLIENT_SECRET"
        ]
      ) assert.include(stderr, mistake)
      assert.notInclude(stderr, "canary")
    }))

  it.effect("a key that cannot sign is told by its variable", () =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn
      const { exitCode, stderr } = yield* run(["serve", "--okta-introspection=recheck"], {
        env: {
          OKTA_ISSUER: okta.issuer,
          OKTA_AUDIENCE: okta.audience,
          OKTA_INTROSPECTION_CLIENT_ID: "0oa2asks",
          OKTA_INTROSPECTION_CLIENT_KEY: "{\"kty\":\"EC\",\"d\":\"canary\"}",
          PORT: "0"
        }
      })
      assert.strictEqual(exitCode, 2)
      assert.include(stderr, "OKTA_INTROSPECTION_CLIENT_KEY (<redacted>) cannot sign")
      assert.notInclude(stderr, "canary")
    }))
})
