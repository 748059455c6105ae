/** What users install: the packed tarball, in an app of its own beside nothing but its declared dependencies. */
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, FileSystem, Layer, Schema, Stream } from "effect"
import { command, folder, project, run } from "../support/Program.ts"

const Manifest = Schema.Struct({
  version: Schema.String,
  bin: Schema.Struct({ "effect-okta": Schema.String }),
  dependencies: Schema.Record(Schema.String, Schema.String),
  peerDependencies: Schema.Record(Schema.String, Schema.String),
  peerDependenciesMeta: Schema.Record(Schema.String, Schema.Struct({ optional: Schema.Literal(true) }))
})

const source = `import { OktaAuth, TokenVerifier } from "effect-okta"
import { OktaTest } from "effect-okta/testing"
import { Effect, Layer, Redacted } from "effect"

const auth = OktaAuth.layer({
  issuer: "https://example.okta.com/oauth2/default",
  audience: "api://default",
  serverUrl: "https://api.example.com"
})

export const program = Effect.gen(function*() {
  const verifier = yield* TokenVerifier
  return yield* verifier.verify(Redacted.make("token"))
}).pipe(
  Effect.catchTag("InvalidAudience", (error) => Effect.succeed(error.message)),
  Effect.provide(auth.pipe(Layer.provide(OktaTest.layer())))
)

console.log(typeof program)
`

/** Prints which files of the package an import of it loads. */
const loads = `import { registerHooks } from "node:module"
registerHooks({
  load: (url, context, next) => {
    if (url.includes("/effect-okta/dist/")) console.log(url.split("/effect-okta/dist/")[1])
    if (url.includes("/node_modules/jose/")) console.log("jose/" + url.split("/").pop())
    return next(url, context)
  }
})
await import("effect-okta")
`

const compilerOptions = {
  target: "ES2022",
  lib: ["ESNext", "DOM"],
  types: ["node"],
  strict: true,
  exactOptionalPropertyTypes: true,
  noEmit: true
}

/** An app with the tarball unpacked in its node_modules, as npm lays it, and links to the package's dependencies. */
class App extends Context.Service<App, {
  readonly path: string
  readonly installed: string
  readonly tarball: string
  readonly manifest: typeof Manifest.Type
}>()("test/App") {
  static readonly layer = Layer.effect(
    App,
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* folder({
        "package.json": JSON.stringify({ name: "app", private: true, type: "module" }),
        "main.ts": source,
        "loads.js": loads,
        "node.json": JSON.stringify({
          compilerOptions: { ...compilerOptions, module: "NodeNext" },
          files: ["main.ts"]
        }),
        "bundler.json": JSON.stringify({
          compilerOptions: { ...compilerOptions, module: "ESNext", moduleResolution: "Bundler" },
          files: ["main.ts"]
        })
      })
      const packed = yield* run(["npm", "pack", "--ignore-scripts", "--pack-destination", path])
      const name = (yield* fs.readDirectory(path)).find((file) => file.endsWith(".tgz"))
      if (name === undefined) return yield* Effect.die(packed.output)
      const tarball = `${path}/${name}`
      const installed = `${path}/node_modules/effect-okta`
      yield* fs.makeDirectory(installed, { recursive: true })
      yield* run(["tar", "-xzf", tarball, "-C", installed, "--strip-components=1"])
      const manifest = yield* fs.readFileString(`${installed}/package.json`).pipe(
        Effect.flatMap(Schema.decodeUnknownEffect(Schema.fromJsonString(Manifest)))
      )
      const { peerDependenciesMeta: optional } = manifest
      const dependencies = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies, "@types/node": "" })
        .filter((name) => !(name in optional))
      for (const dependency of dependencies) {
        const [scope] = dependency.split("/").slice(0, -1)
        if (scope !== undefined) yield* fs.makeDirectory(`${path}/node_modules/${scope}`, { recursive: true })
        yield* fs.symlink(`${project}/node_modules/${dependency}`, `${path}/node_modules/${dependency}`)
      }
      return { path, installed, tarball, manifest }
    })
  )
}

layer(App.layer.pipe(Layer.provideMerge(NodeServices.layer)), { timeout: 60_000 })("the package", (it) => {
  it.effect("has the code, its source, documentation and licence, and nothing else", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const { installed } = yield* App
      const files = yield* fs.readDirectory(installed)
      assert.deepStrictEqual(files.sort(), [
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "dist",
        "docs",
        "package.json",
        "src"
      ])
      for (const name of yield* fs.readDirectory(`${installed}/src`, { recursive: true })) {
        assert.notMatch(name, /json$/)
        if (name.endsWith(".ts") && !name.endsWith(".d.ts")) {
          assert.isTrue(yield* fs.exists(`${installed}/dist/${name.replace(/ts$/, "js")}`), name)
        }
      }
    }))

  it.effect.each(["node.json", "bundler.json"])(
    "type-checks in a strict app with %s",
    (tsconfig) =>
      Effect.gen(function*() {
        const { path } = yield* App
        const { output, status } = yield* run(["tsc", "-p", `${path}/${tsconfig}`], { cwd: path })
        assert.strictEqual(output, "")
        assert.strictEqual(status, 0)
      }),
    60_000
  )

  it.effect("runs in that app", () =>
    Effect.gen(function*() {
      const { path } = yield* App
      assert.deepStrictEqual(yield* run(["node", "main.ts"], { cwd: path }), { status: 0, output: "object\n" })
    }))

  it.effect("loads nothing that only proxy mode needs before that is used", () =>
    Effect.gen(function*() {
      const { path } = yield* App
      const { output, status } = yield* run(["node", "loads.js"], { cwd: path })
      assert.strictEqual(status, 0, output)
      const loaded = output.trim().split("\n")
      assert.include(loaded, "OktaAuth.js")
      assert.include(loaded, "proxy/Grants.js")
      for (const file of loaded) {
        assert.notMatch(file, /^(?:proxy\/(?:\w+\/|Proxy\.|ProxyMode)|cli\/|demo\/|testing\/|jose\/index)/)
      }
    }))

  it.effect("brings its command", () =>
    Effect.gen(function*() {
      const { installed, manifest } = yield* App
      const command = `${installed}/${manifest.bin["effect-okta"]}`
      const help = yield* run(["node", command, "--help"])
      assert.strictEqual(help.status, 0, help.output)
      assert.include(help.output, "effect-okta")
      const version = yield* run(["node", command, "--version"])
      assert.strictEqual(version.status, 0, version.output)
      assert.include(version.output, manifest.version)
    }))

  it.effect(
    "says in one line which package its demo needs, and runs the demo once that is there",
    () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const { installed, manifest, path } = yield* App
        const demo = ["node", `${installed}/${manifest.bin["effect-okta"]}`, "demo"] as const
        const without = yield* run(demo)
        assert.strictEqual(without.status, 2)
        assert.match(
          without.output,
          /^effect-okta demo needs the package oidc-provider\. Install it with: npm install .*\n$/
        )
        yield* fs.symlink(`${project}/node_modules/oidc-provider`, `${path}/node_modules/oidc-provider`)
        const ports = ["--port=0", "--okta-port=0", "--demo-port=0"]
        const child = yield* command([...demo, ...ports, "--data-dir", `${path}/demo`])
        const said = yield* Stream.decodeText(child.all).pipe(
          Stream.takeUntil((text) => text.includes("Ctrl+C")),
          Stream.mkString
        )
        assert.match(said, /^The demo is at http:\/\/localhost:\d+\n/)
        yield* child.kill()
      }),
    60_000
  )

  it.effect("satisfies publint", () =>
    Effect.gen(function*() {
      const { installed } = yield* App
      const { output, status } = yield* run(["publint", "run", installed, "--strict", "--pack", "false"])
      assert.strictEqual(status, 0, output)
      assert.include(output, "All good")
    }))

  it.effect("satisfies attw", () =>
    Effect.gen(function*() {
      const { tarball } = yield* App
      const { output, status } = yield* run(["attw", tarball, "--profile", "esm-only", "--no-definitely-typed"])
      assert.strictEqual(status, 0, output)
    }), 60_000)
})
