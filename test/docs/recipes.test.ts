/** The recipes are followed as they stand: apps behind the gateway, the manifests, the paths of a reverse proxy. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Schema, type Scope } from "effect"
import * as Yaml from "effect/encoding/Yaml"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { mkdir, writeFile } from "node:fs/promises"
import { request as httpRequest } from "node:http"
import { ada, webClient } from "../../src/demo/StandInDirectory.ts"
import { run, start } from "../cli/Command.ts"
import { exchange, httpServer, serve } from "../cli/Serving.ts"
import { newFile } from "../store/StoreFile.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { project } from "../support/Program.ts"
import * as Redis from "../support/RedisServer.ts"
import { codeBlocks } from "./CodeBlock.ts"

const file = "docs/recipes.md"
const blocks = codeBlocks(file, readFileSync(`${project}/${file}`, "utf8"))

/** The code of the one block that is marked with a word. */
const marked = (word: string): string => {
  const found = blocks.filter(({ words }) => words.includes(word))
  assert.strictEqual(found.length, 1, word)
  return found[0]?.code ?? ""
}

const parsed = (text: string | Buffer): unknown => JSON.parse(String(text))

/** Lets a server listen on a free port of 127.0.0.1, whatever it asks for, and prints which. */
const anyPort = `import net from "node:net"
const { listen } = net.Server.prototype
net.Server.prototype.listen = function() {
  this.once("listening", () => console.log(this.address().port))
  return listen.call(this, 0, "127.0.0.1")
}`

/** Runs an app of the page, untouched, until the scope closes: its URL. Express and Hono come with the MCP SDK. */
const app = (name: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const folder = `${project}/test/.tmp/recipes`
      await mkdir(folder, { recursive: true })
      await writeFile(`${folder}/${name}.mjs`, marked(name))
      await writeFile(`${folder}/any-port.mjs`, anyPort)
      const child = spawn(process.execPath, ["--import", `${folder}/any-port.mjs`, `${folder}/${name}.mjs`], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      const [port] = await once(child.stdout, "data")
      return { child, url: `http://127.0.0.1:${String(port).trim()}` }
    }),
    ({ child }) => Effect.promise(() => (child.kill(), once(child, "close")))
  ).pipe(Effect.map(({ url }) => url))

describe("apps behind the gateway", () => {
  it.live.each(["express", "hono"])("an app of %s is told who is calling", (name) =>
    Effect.gen(function*() {
      const okta = yield* OktaStandIn.make()
      const upstream = yield* app(name)
      const url = yield* serve(okta, { upstream, path: "/api" })
      const token = yield* okta.mint({ groups: ["R&D, Berlin", "Größen"] })
      const answer = yield* exchange(`${url}/whoami`, { headers: { authorization: `Bearer ${token}` } })
      assert.deepStrictEqual(parsed(answer.body), { name: ada.login, groups: ["R&D, Berlin", "Größen"] })
      assert.strictEqual((yield* exchange(`${url}/whoami`)).status, 401)
    }), 30_000)
})

const Labels = Schema.Struct({ app: Schema.String })
const Probe = Schema.Struct({ httpGet: Schema.Struct({ path: Schema.String, port: Schema.Int }) })
const Container = Schema.Struct({
  args: Schema.Array(Schema.String),
  ports: Schema.Tuple([Schema.Struct({ containerPort: Schema.Int })]),
  env: Schema.Array(Schema.Struct({ name: Schema.String, value: Schema.String })),
  envFrom: Schema.Array(Schema.Struct({ secretRef: Schema.Struct({ name: Schema.String }) })),
  livenessProbe: Probe,
  readinessProbe: Probe
})
const Deployment = Schema.Struct({
  kind: Schema.Literal("Deployment"),
  spec: Schema.Struct({
    selector: Schema.Struct({ matchLabels: Labels }),
    template: Schema.Struct({
      metadata: Schema.Struct({ labels: Labels }),
      spec: Schema.Struct({ containers: Schema.Tuple([Container]) })
    })
  })
})
const Service = Schema.Struct({
  kind: Schema.Literal("Service"),
  metadata: Schema.Struct({ name: Schema.String }),
  spec: Schema.Struct({
    selector: Labels,
    ports: Schema.Tuple([Schema.Struct({ port: Schema.Int, targetPort: Schema.Int })])
  })
})
const Backend = Schema.Struct({
  service: Schema.Struct({ name: Schema.String, port: Schema.Struct({ number: Schema.Int }) })
})
const Ingress = Schema.Struct({
  kind: Schema.Literal("Ingress"),
  spec: Schema.Struct({
    rules: Schema.Tuple([
      Schema.Struct({
        host: Schema.String,
        http: Schema.Struct({ paths: Schema.Tuple([Schema.Struct({ backend: Backend })]) })
      })
    ])
  })
})
const Manifests = Schema.Tuple([Deployment, Service, Ingress])
const Secret = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String }),
  stringData: Schema.Record(Schema.String, Schema.String)
})

const Announced = Schema.fromJsonString(Schema.Struct({ event: Schema.Literal("listening"), url: Schema.String }))

describe("Kubernetes with Redis", () => {
  const [deployment, service, ingress] = Schema.decodeUnknownSync(Manifests)(
    marked("kubernetes").split(/^---$/m).map(Yaml.parse)
  )
  const [container] = deployment.spec.template.spec.containers

  it("its parts fit each other", () => {
    const [{ containerPort }] = container.ports
    assert.deepStrictEqual(deployment.spec.template.metadata.labels, deployment.spec.selector.matchLabels)
    assert.deepStrictEqual(service.spec.selector, deployment.spec.selector.matchLabels)
    assert.strictEqual(service.spec.ports[0].targetPort, containerPort)
    assert.strictEqual(container.livenessProbe.httpGet.port, containerPort)
    assert.strictEqual(container.readinessProbe.httpGet.port, containerPort)
    const [{ host, http }] = ingress.spec.rules
    assert.deepStrictEqual(http.paths[0].backend.service, {
      name: service.metadata.name,
      port: { number: service.spec.ports[0].port }
    })
    assert.deepInclude(container.env, { name: "SERVER_URL", value: `https://${host}` })
    // The port that `serve` has by default.
    assert.notInclude(container.env.map(({ name }) => name), "PORT")
    assert.strictEqual(containerPort, 8080)
  })

  it.live.skipIf(Redis.isMissing)(
    "starts with its arguments and environment, and is ready",
    () =>
      Effect.gen(function*() {
        const okta = yield* OktaStandIn.make({ kind: "org" })
        const redis = yield* Redis.make()
        const upstream = yield* httpServer((_, response) => response.end())
        const [command = ""] = blocks.flatMap(({ code }) => /^npx effect-okta (keys .*) \|/m.exec(code)?.[1] ?? [])
        const secret = Schema.decodeUnknownSync(Secret)(Yaml.parse((yield* run(command.split(" "))).stdout))
        assert.include(container.envFrom.map(({ secretRef }) => secretRef.name), secret.metadata.name)
        const here: Readonly<Record<string, string>> = { "http://mcp:3000": upstream, "0.0.0.0": "127.0.0.1" }
        const { printed } = yield* start(container.args.map((argument) => here[argument] ?? argument), {
          env: {
            ...Object.fromEntries(container.env.map(({ name, value }) => [name, value])),
            ...secret.stringData,
            OKTA_ISSUER: okta.issuer,
            OKTA_CLIENT_SECRET: webClient.clientSecret ?? "",
            REDIS_URL: Redacted.value(redis.url),
            PORT: "0"
          }
        })
        const { url } = Schema.decodeUnknownSync(Announced)(yield* printed)
        const { origin } = new URL(url)
        const alive = yield* exchange(origin + container.livenessProbe.httpGet.path)
        assert.strictEqual(alive.status, 200)
        const ready = exchange(origin + container.readinessProbe.httpGet.path)
        // The keys are fetched in the background.
        const answer = yield* Effect.repeat(ready, { until: ({ status }) => status === 200 })
        assert.strictEqual(answer.status, 200, answer.body.toString())
        const metadata = yield* exchange(`${origin}/.well-known/oauth-authorization-server`)
        assert.deepInclude(parsed(metadata.body), { issuer: "https://mcp.example.com" })
      }),
    30_000
  )
})

/** What nginx does with a path, by the locations of the page: the path behind it, unless nobody is there. */
const locations = [...marked("nginx").matchAll(/location (~ )?(\S+) \{\s+proxy_pass http:\/\/127\.0\.0\.1:8080(\/?);/g)]
  .map(([, isPattern, where = "", slash]) => (path: string): string | undefined =>
    isPattern !== undefined
      ? new RegExp(where).test(path) ? path : undefined
      : path.startsWith(where)
      ? (slash === "/" ? `/${path.slice(where.length)}` : path)
      : undefined
  )

const behind = (path: string): string | undefined =>
  locations.map((location) => location(path)).find((found) => found !== undefined)

/** A reverse proxy that does what those lines of nginx do; what is behind it is told once it is there. */
const reverseProxy = Effect.fnUntraced(function*(target: () => string) {
  return yield* httpServer((request, response) => {
    const path = behind(request.url ?? "")
    if (path === undefined) return void response.writeHead(404).end()
    const headers = { ...request.headers, "x-forwarded-for": "192.0.2.1" }
    request.pipe(
      httpRequest(
        new URL(path, target()),
        { method: request.method, headers, agent: false },
        (answer) => answer.pipe(response.writeHead(answer.statusCode ?? 500, answer.rawHeaders))
      )
    )
  })
})

const text = (document: unknown, name: string): string =>
  Schema.decodeUnknownSync(Schema.Record(Schema.String, Schema.Unknown))(document)[name]?.toString() ?? ""

/** Follows the challenge of a request without a token to the metadata of the resource. */
const found = Effect.fnUntraced(function*(resource: string) {
  const { headers, status } = yield* exchange(resource)
  assert.strictEqual(status, 401)
  const [, url = ""] = /resource_metadata="([^"]+)"/.exec(headers["www-authenticate"] ?? "") ?? []
  const document = parsed((yield* exchange(url)).body)
  assert.strictEqual(text(document, "resource"), resource)
  return document
})

describe("a reverse proxy with a base path", () => {
  it("has two locations", () => {
    assert.strictEqual(locations.length, 2)
    assert.strictEqual(behind("/tools/mcp"), "/mcp")
    assert.isUndefined(behind("/toolshed"))
    assert.isUndefined(behind("/.well-known/oauth-protected-resource/other"))
  })

  it.live("in native mode a client finds its way, and gets through with a token", () =>
    Effect.gen(function*() {
      let target = ""
      const okta = yield* OktaStandIn.make()
      const origin = yield* reverseProxy(() => target)
      const upstream = yield* httpServer(({ headers, url }, response) =>
        void response.end(JSON.stringify({ url, subject: headers["x-okta-subject"] }))
      )
      target = yield* serve(okta, { upstream }, { SERVER_URL: `${origin}/tools` })
      const document = yield* found(`${origin}/tools/mcp`)
      assert.strictEqual(text(document, "authorization_servers"), okta.issuer)
      const authorization = `Bearer ${yield* okta.mint()}`
      const answer = yield* exchange(`${origin}/tools/mcp/a?b=c`, { headers: { authorization } })
      assert.deepStrictEqual(parsed(answer.body), { url: "/mcp/a?b=c", subject: ada.login })
    }))

  it.live("in proxy mode all that the metadata names is there, and nothing else of the host", () =>
    Effect.gen(function*() {
      let target = ""
      const okta = yield* OktaStandIn.make({ kind: "org" })
      const origin = yield* reverseProxy(() => target)
      target = yield* serve(okta, {}, {
        SERVER_URL: `${origin}/tools`,
        TRUSTED_PROXIES: "1",
        OKTA_CLIENT_ID: webClient.clientId,
        OKTA_CLIENT_SECRET: webClient.clientSecret ?? "",
        SQLITE_FILE: yield* newFile
      })
      const issuer = text(yield* found(`${origin}/tools/mcp`), "authorization_servers")
      assert.strictEqual(issuer, `${origin}/tools`)
      // Where clients look: RFC 8414, and OpenID Connect Discovery in its two readings.
      const places = [
        `${origin}/.well-known/oauth-authorization-server/tools`,
        `${origin}/.well-known/openid-configuration/tools`,
        `${origin}/tools/.well-known/openid-configuration`
      ]
      for (const place of places) {
        const document = parsed((yield* exchange(place)).body)
        assert.strictEqual(text(document, "issuer"), issuer, place)
        assert.strictEqual((yield* exchange(text(document, "jwks_uri"))).status, 200)
        const json = { "content-type": "application/json" }
        const registered = yield* exchange(text(document, "registration_endpoint"), {
          method: "POST",
          headers: json,
          body: JSON.stringify({ redirect_uris: ["http://127.0.0.1/callback"], token_endpoint_auth_method: "none" })
        })
        assert.strictEqual(registered.status, 201)
        const page = `${text(document, "authorization_endpoint")}?response_type=code&code_challenge_method=S256` +
          `&client_id=${text(parsed(registered.body), "client_id")}&code_challenge=${"a".repeat(43)}` +
          `&redirect_uri=${encodeURIComponent("http://127.0.0.1:45678/callback")}`
        const consent = yield* exchange(page)
        assert.strictEqual(consent.status, 200, consent.body.toString())
        assert.include(consent.body.toString(), "/tools/oauth/consent")
        assert.strictEqual((yield* exchange(text(document, "token_endpoint"), { method: "POST" })).status, 400)
      }
      assert.strictEqual((yield* exchange(`${origin}/.well-known/oauth-authorization-server`)).status, 404)
      assert.strictEqual((yield* exchange(`${origin}/mcp`)).status, 404)
    }))
})
