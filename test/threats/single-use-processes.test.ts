import { assert, describe, it } from "@effect/vitest"
import { Array, Effect, Redacted } from "effect"
import { SignJWT } from "jose"
import { createPrivateKey, createPublicKey } from "node:crypto"
import { webClient } from "../../src/demo/StandInDirectory.ts"
import { ec, ring } from "../proxy/grant/KeyRing.ts"
import { newFile } from "../store/StoreFile.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { codeChallenge, codeVerifier, fieldsOf, membersOf, UserAgent } from "../support/ProxyScene.ts"
import * as Redis from "../support/RedisServer.ts"
import * as ReplicaProcess from "../support/ReplicaProcess.ts"

/** How often each is tried in each arrangement, with how many at once. */
const rounds = Number(process.env["SINGLE_USE_ROUNDS"] ?? 3)
const crowd = 50

const redirect_uri = "https://client.example.com/callback"
const serverUrl = "http://127.0.0.1:9"
const privateKey = createPrivateKey({ key: { ...ec() }, format: "jwk" })

const together = { concurrency: "unbounded" } as const

for (const store of Redis.isMissing ? ["file"] as const : ["file", "redis"] as const) {
  describe(`Single use, ${crowd} at once, ${rounds} times, with two processes on a store in ${store}`, () => {
    it.live(
      "#126 #137 #138 #152 #183 a state, a code, a refresh token and an assertion",
      () =>
        Effect.gen(function*() {
          const okta = yield* OktaStandIn.make({
            clients: [{ ...webClient, redirectUris: [`${serverUrl}/oauth/callback`] }]
          })
          const deployment = {
            issuer: okta.issuer,
            serverUrl,
            encryptionSecret: ["s".repeat(32)],
            signingKeys: Redacted.value(ring({ ...ec(), kid: "one" })),
            ...(store === "file" ? { file: yield* newFile } : { redis: Redacted.value((yield* Redis.make()).url) })
          }
          const processes = [yield* ReplicaProcess.start(deployment), yield* ReplicaProcess.start(deployment)] as const
          const at = (index: number) => processes[index % 2 === 0 ? 0 : 1].url
          const post = (index: number, path: string, form: Readonly<Record<string, string>>) =>
            new UserAgent(serverUrl, at(index)).ask(path, { body: new URLSearchParams(form) })
          /** What becomes of it when all of them try, each other one at the other process. */
          const all = <A>(attempt: (index: number) => Effect.Effect<A>) =>
            Effect.forEach(Array.range(1, crowd), attempt, together)

          const register = Effect.fnUntraced(function*(metadata: object) {
            const answer = yield* new UserAgent(serverUrl, at(0)).ask("/oauth/register", {
              headers: { "content-type": "application/json" },
              body: JSON.stringify({
                redirect_uris: [redirect_uri],
                grant_types: ["authorization_code", "refresh_token"],
                ...metadata
              })
            })
            assert.strictEqual(answer.status, 201, answer.body)
            return String(membersOf(answer)["client_id"])
          })
          const client_id = yield* register({ token_endpoint_auth_method: "none" })
          const confidential = yield* register({
            token_endpoint_auth_method: "private_key_jwt",
            jwks: { keys: [{ ...createPublicKey(privateKey).export({ format: "jwk" }), kid: "k", alg: "ES256" }] }
          })

          const authorization = `/oauth/authorize?${new URLSearchParams({
            client_id,
            redirect_uri,
            code_challenge: codeChallenge,
            code_challenge_method: "S256",
            response_type: "code"
          })}`
          /** A browser on its way back from Okta. */
          const comeBack = Effect.gen(function*() {
            const browser = new UserAgent(serverUrl, at(0))
            const page = yield* browser.ask(authorization)
            const body = new URLSearchParams({ ...fieldsOf(page), decision: "allow" })
            const { location } = yield* browser.ask("/oauth/consent", { body })
            const back = yield* Effect.orDie(okta.authorize(location))
            const { cookies } = browser
            return (index: number) => {
              const same = new UserAgent(serverUrl, at(index))
              for (const [name, cookie] of cookies) same.cookies.set(name, cookie)
              return same.ask(back)
            }
          })
          const redeem = (index: number, code: string) =>
            post(index, "/oauth/token", {
              grant_type: "authorization_code",
              client_id,
              code,
              redirect_uri,
              code_verifier: codeVerifier
            })

          // On a machine that is too busy, a store may not answer in time.
          let away = 0
          const successes = { state: 0, code: 0, refresh: 0, assertion: 0 }
          const first = yield* (yield* comeBack)(0)
          const session = yield* redeem(0, first.location.searchParams.get("code") ?? "")
          let refresh_token = String(membersOf(session)["refresh_token"])
          for (let round = 0; round < rounds; round++) {
            const answers = yield* all(yield* comeBack)
            const codes = answers.map(({ location }) => location.searchParams.get("code")).filter((code) =>
              code !== null
            )
            successes.state += codes.length
            for (const { body, location, status } of answers) {
              if (!location.searchParams.has("code")) assert.strictEqual(status, 400, body)
            }

            const redeemed = yield* all((index) => redeem(index, codes[0] ?? ""))
            successes.code += redeemed.filter(({ status }) => status === 200).length
            for (const answer of redeemed) {
              if (answer.status !== 200) assert.deepInclude(membersOf(answer), { error: "invalid_grant" })
            }

            const refreshed = yield* all((index) =>
              post(index, "/oauth/token", { grant_type: "refresh_token", client_id, refresh_token })
            )
            const successors = new Set<string>()
            for (const answer of refreshed) {
              if (answer.status === 200) successors.add(String(membersOf(answer)["refresh_token"]))
              else assert.deepInclude(membersOf(answer), { error: "temporarily_unavailable" }, `round ${round}`)
            }
            away += refreshed.filter(({ status }) => status !== 200).length
            successes.refresh += successors.size
            refresh_token = [...successors][0] ?? ""

            const client_assertion = yield* Effect.promise(() =>
              new SignJWT({ iss: confidential, sub: confidential, aud: serverUrl, jti: `${round}` })
                .setExpirationTime("60s").setProtectedHeader({ alg: "ES256", kid: "k" }).sign(privateKey)
            )
            const client_assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            const revoked = yield* all((index) =>
              post(index, "/oauth/revoke", {
                client_id: confidential,
                token: "x",
                client_assertion,
                client_assertion_type
              })
            )
            successes.assertion += revoked.filter(({ status }) => status === 200).length
            for (const { body, status } of revoked) assert.include([200, 401], status, body)
          }
          console.log(`${store}: ${JSON.stringify(successes)}; ${away} of ${rounds * crowd} refreshes were put off`)
          assert.isBelow(away, rounds * crowd / 100)
          assert.deepStrictEqual(successes, { state: rounds, code: rounds, refresh: rounds, assertion: rounds })
        }),
      30_000 + rounds * 5000
    )
  })
}
