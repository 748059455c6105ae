// How many people two replicas on one Redis sign in, and how many requests they take with the tokens of those people:
// `npm run bench:scaling`, or with other numbers `npm run bench:scaling -- SECONDS PEOPLE REPLICAS`. The driver is the browser,
// the client and the balancer at once.
import { Effect, Redacted } from "effect"
import { fork } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { Agent, request } from "node:http"
import { cpus } from "node:os"
import { fileURLToPath } from "node:url"
import { webClient } from "../../src/demo/StandInDirectory.ts"
import { ec, ring } from "../proxy/grant/KeyRing.ts"
import * as RedisServer from "../support/RedisServer.ts"
import * as ReplicaProcess from "../support/ReplicaProcess.ts"

const [seconds = 60, people = 24, replicas = 2] = process.argv.slice(2).map(Number)
const warmUp = Math.min(10, seconds / 2)
const mostTokens = 1000
const redirectUri = "http://127.0.0.1:33418/callback"
const agent = new Agent({ keepAlive: true })

interface Answer {
  readonly status: number
  readonly location: string
  readonly cookies: ReadonlyArray<string>
  readonly body: string
}

const ask = (url: string, { body, cookie, token, type = "application/x-www-form-urlencoded" }: {
  readonly body?: string
  readonly cookie?: string
  readonly token?: string
  readonly type?: string
} = {}) =>
  new Promise<Answer>((resolve, reject) => {
    const headers = {
      ...(cookie === undefined ? {} : { cookie }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": type })
    }
    request(url, { agent, method: body === undefined ? "GET" : "POST", headers }, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("error", reject)
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          location: response.headers.location ?? "",
          cookies: (response.headers["set-cookie"] ?? []).map((line) => line.split(";", 1)[0] ?? ""),
          body: Buffer.concat(chunks).toString("utf8")
        }))
    }).on("error", reject).end(body)
  })

const expected = (answer: Answer, status: number): Answer => {
  if (answer.status !== status) throw new Error(`${answer.status} in place of ${status}: ${answer.body}`)
  return answer
}

/** The first parameter of this name in a URL. */
const parameter = (url: string, name: string) => new URL(url).searchParams.get(name) ?? ""

const fieldsOf = (html: string) =>
  [...html.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)].map((
    [, name = "", value = ""]
  ): [string, string] => [name, value])

/** Processor time that a process has used, in seconds (proc(5)). */
const used = (pid: number) => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")
  return (Number(fields[11]) + Number(fields[12])) / 100
}

const program = Effect.gen(function*() {
  const redis = yield* RedisServer.make()
  const okta = fork(fileURLToPath(new URL("CheapOkta.ts", import.meta.url)), [webClient.clientId])
  yield* Effect.addFinalizer(() => Effect.sync(() => okta.kill()))
  const [issuer] = yield* Effect.promise(() =>
    Promise.race([
      once(okta, "message"),
      once(okta, "close").then(() => Promise.reject(new Error("the stand-in ended")))
    ])
  )
  const deployment = {
    issuer: String(issuer),
    serverUrl: "http://127.0.0.1:9",
    encryptionSecret: ["s".repeat(32)],
    signingKeys: Redacted.value(ring({ ...ec(), kid: "one" })),
    redis: Redacted.value(redis.url)
  }
  const flags = process.env["CPU_PROFILE"] === undefined
    ? []
    : ["--cpu-prof", `--cpu-prof-dir=${process.env["CPU_PROFILE"]}`]
  const servers: Array<ReplicaProcess.ReplicaProcess> = []
  for (let nth = 0; nth < replicas; nth++) servers.push(yield* ReplicaProcess.start(deployment, flags))
  let turn = 0
  const next = () => servers[turn++ % servers.length]?.url ?? ""

  const metadata = {
    redirect_uris: [redirectUri],
    client_name: "Example Assistant",
    token_endpoint_auth_method: "none",
    grant_types: ["authorization_code", "refresh_token"]
  }
  const registered = yield* Effect.promise(() =>
    ask(`${next()}/oauth/register`, { body: JSON.stringify(metadata), type: "application/json" })
  )
  const { client_id }: { readonly client_id: string } = JSON.parse(expected(registered, 201).body)

  /** Of those who have signed in last. */
  const tokens: Array<string> = []

  /** From the client's authorization request to its tokens, every step at the next replica. */
  const signIn = async () => {
    const code_verifier = randomBytes(32).toString("base64url")
    const authorization = new URLSearchParams({
      response_type: "code",
      client_id,
      redirect_uri: redirectUri,
      state: randomBytes(16).toString("base64url"),
      code_challenge: createHash("sha256").update(code_verifier).digest("base64url"),
      code_challenge_method: "S256"
    })
    const page = expected(await ask(`${next()}/oauth/authorize?${authorization}`), 200)
    const form = new URLSearchParams([...fieldsOf(page.body), ["decision", "allow"]])
    const cookies = new Map(page.cookies.map((cookie) => [cookie.split("=", 1)[0], cookie]))
    const cookie = () => [...cookies.values()].join("; ")
    const toOkta = expected(await ask(`${next()}/oauth/consent`, { body: form.toString(), cookie: cookie() }), 303)
    for (const line of toOkta.cookies) cookies.set(line.split("=", 1)[0], line)
    const back = new URLSearchParams({
      code: parameter(toOkta.location, "nonce"),
      state: parameter(toOkta.location, "state")
    })
    const toClient = expected(await ask(`${next()}/oauth/callback?${back}`, { cookie: cookie() }), 302)
    const redemption = new URLSearchParams({
      grant_type: "authorization_code",
      client_id,
      code: parameter(toClient.location, "code"),
      redirect_uri: redirectUri,
      code_verifier
    })
    const answer = expected(await ask(`${next()}/oauth/token`, { body: redemption.toString() }), 200)
    const { access_token }: { readonly access_token: string } = JSON.parse(answer.body)
    if (tokens.push(access_token) > mostTokens) tokens.shift()
  }

  const call = async () => {
    const token = tokens[Math.floor(Math.random() * tokens.length)] ?? ""
    expected(await ask(`${next()}/mcp`, { token }), 200)
  }

  const parts = {
    ...Object.fromEntries(servers.map(({ pid }, index) => [`replica ${index + 1}`, pid])),
    Redis: redis.pid(),
    "stand-in for Okta": okta.pid ?? 0,
    driver: process.pid
  }
  /** What is done for some time, by many at once, and what each costs. */
  const measure = Effect.fnUntraced(function*(what: string, act: () => Promise<void>) {
    const durations: Array<number> = []
    const run = (until: number) =>
      Effect.promise(() =>
        Promise.all(Array.from({ length: people }, async () => {
          while (performance.now() < until) {
            const began = performance.now()
            await act()
            durations.push(performance.now() - began)
          }
        }))
      )
    yield* run(performance.now() + warmUp * 1000)
    durations.length = 0
    yield* redis.run("CONFIG", "RESETSTAT")
    const before = Object.values(parts).map(used)
    const began = performance.now()
    yield* run(began + seconds * 1000)
    const elapsed = (performance.now() - began) / 1000
    const spent = Object.keys(parts).map((name, index) =>
      [name, used(Object.values(parts)[index] ?? 0) - (before[index] ?? 0)] as const
    )

    const statistics = String(yield* redis.run("INFO", "commandstats"))
    const calls = (name: string) => Number(new RegExp(`^cmdstat_${name}:calls=(\\d+)`, "m").exec(statistics)?.[1] ?? 0)
    // Each script reads once and writes once, which is counted too.
    const scripts = calls("evalsha")
    const commands = {
      GET: calls("get") - scripts,
      SET: calls("set") - scripts,
      GETDEL: calls("getdel"),
      EVALSHA: scripts
    }

    durations.sort((a, b) => a - b)
    const done = durations.length
    const quantile = (share: number) => `${(durations[Math.floor(done * share)] ?? 0).toFixed(0)} ms`
    console.log(
      `${done} ${what}s in ${elapsed.toFixed(1)} s: ${
        (done / elapsed).toFixed(0)
      } a second, with ${people} people at a time`
    )
    console.log(`p50 ${quantile(0.5)}, p99 ${quantile(0.99)}, on ${cpus().length} × ${cpus()[0]?.model}`)
    for (const [name, time] of spent) {
      console.log(
        `${name}: ${(time / elapsed * 100).toFixed(0)} % of a core, ${
          (time / done * 1000).toFixed(2)
        } ms for each ${what}`
      )
    }
    const each = Object.entries(commands).map(([name, count]) => `${(count / done).toFixed(2)} ${name}`)
    console.log(`Commands to Redis for each ${what}: ${each.join(", ")}`)
    const own = spent.filter(([name]) => name.startsWith("replica")).reduce((sum, [, time]) => sum + time, 0)
    console.log(`A replica with a core to itself: ${(done / own).toFixed(0)} ${what}s a second\n`)
  })

  yield* measure("sign-in", signIn)
  yield* measure("request", call)
  if (flags.length > 0) {
    // Profiles are written at an orderly end.
    for (const { pid } of servers) process.kill(pid, "SIGTERM")
    yield* Effect.sleep("5 seconds")
  }
})

await Effect.runPromise(Effect.scoped(program))
process.exit()
