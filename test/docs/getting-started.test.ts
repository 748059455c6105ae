/** The page that begins is followed as it stands: with the demo's Okta, in both modes. */
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import { readFileSync } from "node:fs"
import { start } from "../cli/Command.ts"
import { exchange, serve } from "../cli/Serving.ts"
import { newFile } from "../store/StoreFile.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { project } from "../support/Program.ts"

const page = readFileSync(`${project}/docs/getting-started.md`, "utf8")

/** What the page sets in the environment, at the end. */
const exported = Object.fromEntries(
  [...(page.split("## Without an Okta account")[1] ?? "").matchAll(/\b([A-Z_]+)=(\S+)/g)].map((
    [, name = "", value = ""]
  ) => [
    name,
    value
  ])
)

const parsed = (body: Buffer): { readonly [name: string]: unknown } => JSON.parse(String(body))

layer(NodeServices.layer, { excludeTestServices: true, timeout: 60_000 })(
  "getting started without an Okta account",
  (it) => {
    it.effect("has a token in native mode, and a sign-in at Okta in proxy mode", () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const folder = yield* fs.makeTempDirectoryScoped({ prefix: "getting-started-" })
        const ports = ["--port=0", "--okta-port=0", "--demo-port=0"]
        const { printed } = yield* start(["demo", "--json", ...ports, "--data-dir", folder])
        const { issuer }: { readonly issuer: string } = JSON.parse(yield* printed)
        assert.strictEqual(exported["OKTA_ISSUER"], issuer.replace(/:\d+/, ":8081"))

        const form = /curl -s -u "\$CLIENT_ID:\$CLIENT_SECRET" "\$OKTA_ISSUER(\S+)" \\\n +-d (\S+) -d (\S+)/.exec(page)
        assert(form !== null)
        const [, endpoint = "", ...fields] = form
        const credentials = `${exported["CLIENT_ID"]}:${exported["CLIENT_SECRET"]}`
        const granted = yield* exchange(issuer + endpoint, {
          method: "POST",
          headers: {
            "authorization": `Basic ${Buffer.from(credentials).toString("base64")}`,
            "content-type": "application/x-www-form-urlencoded"
          },
          body: fields.join("&")
        })
        assert.strictEqual(granted.status, 200, granted.body.toString())

        const okta = OktaStandIn.of({
          ...(yield* OktaStandIn.make()),
          issuer,
          audience: exported["OKTA_AUDIENCE"] ?? ""
        })
        const native = yield* serve(okta)
        const call = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "hello", arguments: {} } }
        const answer = yield* exchange(native, {
          method: "POST",
          headers: {
            "authorization": `Bearer ${parsed(granted.body)["access_token"]}`,
            "content-type": "application/json"
          },
          body: JSON.stringify(call)
        })
        assert.include(answer.body.toString(), `Hello ${exported["CLIENT_ID"]}`)

        const proxy = new URL(
          yield* serve(okta, {}, {
            OKTA_CLIENT_ID: exported["OKTA_CLIENT_ID"] ?? "",
            OKTA_CLIENT_SECRET: exported["OKTA_CLIENT_SECRET"] ?? "",
            SERVER_URL: exported["SERVER_URL"] ?? "",
            SQLITE_FILE: yield* newFile
          })
        )
        const metadata = parsed((yield* exchange(`${proxy.origin}/.well-known/oauth-authorization-server`)).body)
        assert.strictEqual(metadata["issuer"], exported["SERVER_URL"])
        // What the server sends the person to, as far as the application and its redirect URI go.
        const signIn = new URL(`${issuer}/v1/authorize`)
        signIn.search = String(
          new URLSearchParams({
            response_type: "code",
            client_id: exported["OKTA_CLIENT_ID"] ?? "",
            redirect_uri: /redirect URI is `(\S+)`/.exec(page)?.[1] ?? "",
            scope: "openid",
            state: "s",
            nonce: "n",
            code_challenge: "a".repeat(43),
            code_challenge_method: "S256"
          })
        )
        const door = yield* exchange(signIn.href)
        assert.strictEqual(door.status, 303)
        assert.match(door.headers.location ?? "", /\/signin\//)
      }), 60_000)
  }
)
