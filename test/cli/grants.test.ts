import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer, Redacted, Schema, type Scope } from "effect"
import { FetchHttpClient } from "effect/http"
import { Discovery } from "../../src/provider/Discovery.ts"
import { Jwks } from "../../src/provider/Jwks.ts"
import { OktaHttp } from "../../src/provider/OktaHttp.ts"
import { clientHandle, grantHandle } from "../../src/proxy/Audit.ts"
import type { Client } from "../../src/proxy/client/Client.ts"
import { Grants } from "../../src/proxy/grant/Grant.ts"
import { person } from "../../src/proxy/grant/GrantIndex.ts"
import { TokenIssuer } from "../../src/proxy/grant/IssuedToken.ts"
import { SigningKeys } from "../../src/proxy/grant/SigningKeys.ts"
import { OktaClient, type OktaSession } from "../../src/proxy/OktaClient.ts"
import { Sealed } from "../../src/proxy/Sealed.ts"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { Signature } from "../../src/token/Signature.ts"
import { ec, ring } from "../proxy/grant/KeyRing.ts"
import { configLayer, loopbackUrl, secret } from "../proxy/ProxyTest.ts"
import { newFile } from "../store/StoreFile.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { codeChallenge, codeVerifier } from "../support/ProxyScene.ts"
import { run } from "./Command.ts"

const clientId = `a registered client's id ${"x".repeat(400)}`

const session = (subject: string, email: string): OktaSession => ({
  user: { _tag: "User", subject, username: email, email, groups: [], scopes: [], amr: [] },
  tokens: {
    accessToken: Redacted.make("okta-access"),
    idToken: Redacted.make("okta-id"),
    refreshToken: Redacted.make("okta-refresh"),
    expiresAt: 4_000_000_000
  }
})

const client = (clientId: string): Client => ({
  clientId,
  origin: "configured",
  metadata: {
    redirect_uris: ["https://client.example.com/callback"],
    token_endpoint_auth_method: "none",
    grant_types: ["authorization_code", "refresh_token"],
    application_type: "web"
  }
})

/** A server's file with three grants in it, and the environment that the server has. */
const arrange = Effect.gen(function*(): Effect.fn.Return<
  { readonly grants: Grants["Service"]; readonly env: Record<string, string> },
  never,
  OktaStandIn | Scope.Scope
> {
  const okta = yield* OktaStandIn
  const file = yield* newFile
  const signingKeys = ring({ ...ec(), kid: "one" })
  const options = { issuer: okta.issuer, serverUrl: loopbackUrl, encryptionSecret: secret("a"), signingKeys }
  const grants = Context.get(
    yield* Layer.build(Grants.layer.pipe(
      Layer.provide([OktaClient.layer, TokenIssuer.layer]),
      Layer.provide([Sealed.layer, SigningKeys.layer, SqliteStore.layer({ file }), Jwks.layer]),
      Layer.provide(Discovery.layer),
      Layer.provide([OktaHttp.layer, Signature.layer]),
      Layer.provide([FetchHttpClient.layer, configLayer(options)])
    )).pipe(Effect.orDie),
    Grants
  )
  const request = {
    clientId,
    clientName: "Example\u001b[31m Assistant",
    redirectUri: "https://client.example.com/callback",
    scopes: ["mcp:read"],
    resource: loopbackUrl,
    codeChallenge
  }
  const signIn = Effect.fnUntraced(function*(signedIn: OktaSession, clientId: string) {
    const { code } = yield* grants.create(signedIn, { ...request, clientId })
    yield* grants.redeem(client(clientId), {
      code: Redacted.make(code),
      redirectUri: request.redirectUri,
      codeVerifier: Redacted.make(codeVerifier)
    })
  })
  yield* Effect.orDie(Effect.gen(function*() {
    yield* signIn(session("00u1ada", "ada@example.com"), clientId)
    yield* signIn(session("00u1ada", "ada@example.com"), "desktop")
    yield* signIn(session("00u2bob", "bob@example.com"), clientId)
  }))
  return {
    grants,
    env: {
      OKTA_ISSUER: okta.issuer,
      OKTA_CLIENT_ID: "0oa1client",
      OKTA_CLIENT_SECRET: "client secret at Okta",
      SERVER_URL: loopbackUrl,
      ENCRYPTION_SECRET: Redacted.value(secret("a")),
      SIGNING_KEYS: Redacted.value(signingKeys),
      SQLITE_FILE: file
    }
  }
})

const Listed = Schema.decodeUnknownSync(Schema.fromJsonString(
  Schema.Struct({ grants: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)) })
))

// The command goes by the clock on the wall.
layer(OktaStandIn.layer(), { excludeTestServices: true })("effect-okta grants", (it) => {
  it.effect(
    "lists what a person has granted and what a client may do, as a table and as JSON",
    () =>
      Effect.gen(function*() {
        const { env } = yield* arrange
        const { exitCode, stderr, stdout } = yield* run(["grants", "list", "--person", "Ada@example.com"], { env })
        assert.deepStrictEqual([exitCode, stderr], [0, ""])
        const [head = "", ...rows] = stdout.trim().split("\n")
        assert.match(head, /^GRANT +PERSON +CLIENT +NAME +SENDS TO +SCOPES +CREATED +LAST USED$/)
        assert.lengthOf(rows, 2)
        for (const row of rows) {
          assert.match(
            row,
            /^[\w-]{16} +ada@example\.com .* client\.example\.com +mcp:read(?: +\d{4}-\d\d-\d\d \d\d:\d\d){2}$/
          )
        }
        assert.notInclude(stdout, "\u001b")

        const json = Listed(
          (yield* run(["grants", "list", "--client", clientHandle(clientId), "--json"], { env })).stdout
        )
        assert.sameMembers(json.grants.map(({ subject }) => subject), ["00u1ada", "00u2bob"])
        const nobody = yield* run(["grants", "list", "--person", "00unobody"], { env })
        assert.deepStrictEqual([nobody.exitCode, nobody.stdout], [0, "There are no grants.\n"])
      }),
    60_000
  )

  it.effect("ends one, or all, of the person or client that is named", () =>
    Effect.gen(function*() {
      const { env, grants } = yield* arrange
      const list = (of: string) => Effect.map(Effect.orDie(grants.list(person(of))), (found) => [...found.keys()])
      const [first = ""] = yield* list("00u1ada")
      const handle = grantHandle(first)
      const other = yield* run(["grants", "end", handle, "--person", "bob@example.com"], { env })
      assert.strictEqual(other.exitCode, 1)
      assert.include(other.stderr, `There is no such grant of that person: ${handle}`)
      assert.lengthOf(yield* list("00u1ada"), 2)

      const one = yield* run(["grants", "end", handle, "--person", "00u1ada"], { env })
      assert.deepStrictEqual([one.exitCode, one.stdout], [0, "Ended: 1.\n"])
      assert.lengthOf(yield* list("00u1ada"), 1)
      const all = yield* run(["grants", "end", "--all", "--client", clientId, "--json"], { env })
      assert.strictEqual(all.exitCode, 0)
      assert.property(JSON.parse(all.stdout), "ended")
      assert.deepStrictEqual(yield* list("bob@example.com"), [])
    }), 60_000)

  describe("says what is wrong, and changes nothing:", () => {
    const cases: ReadonlyArray<
      readonly [what: string, args: ReadonlyArray<string>, env: Record<string, string>, said: string]
    > = [
      ["nobody is named", ["list"], {}, "--person or --client"],
      ["two are named", ["list", "--person", "a", "--client", "b"], {}, "--person or --client"],
      ["nothing to end is named", ["end", "--person", "a"], {}, "--all"],
      ["all and one are to be ended", ["end", "x", "--all", "--person", "a"], {}, "--all"],
      ["there is no secret", ["list", "--person", "a"], { ENCRYPTION_SECRET: "" }, "ENCRYPTION_SECRET"],
      ["there is no such file", ["list", "--person", "a"], { SQLITE_FILE: "nowhere.sqlite" }, "nowhere.sqlite"],
      ["native mode", ["list", "--person", "a"], {
        OKTA_CLIENT_ID: "",
        OKTA_CLIENT_SECRET: "",
        OKTA_AUDIENCE: "api://default"
      }, "is"]
    ]
    for (const [what, args, changes, said] of cases) {
      it.effect(what, () =>
        Effect.gen(function*() {
          const { env } = yield* arrange
          const { exitCode, stderr, stdout } = yield* run(["grants", ...args], { env: { ...env, ...changes } })
          assert.deepStrictEqual([exitCode, stdout], [2, ""], stderr)
          assert.include(stderr, said)
        }))
    }

    const away = [["list"], ["list", "--json"], ["end", "--all"], ["end", "x", "--json"]]
    it.effect.each(away)("the store is away, which is said once: %s", (args) =>
      Effect.gen(function*() {
        const { env: { SQLITE_FILE: _, ...env } } = yield* arrange
        const { exitCode, stderr, stdout } = yield* run(["grants", ...args, "--person", "a"], {
          env: { ...env, REDIS_URL: "redis://127.0.0.1:1" }
        })
        assert.deepStrictEqual([exitCode, stdout], [1, ""], stderr)
        const [said = "", ...more] = stderr.trim().split("\n")
        assert.deepStrictEqual(more, [])
        if (args.includes("--json")) assert.deepInclude(JSON.parse(said), { event: "store-unavailable" })
        else assert.match(said, /^The store failed at "\w+": .* What was done so far stays done: try again\.$/)
        assert.include(said, "nothing listens there")
      }))
  })
})
