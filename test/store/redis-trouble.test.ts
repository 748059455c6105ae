import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Logger, Option, Redacted, Schedule } from "effect"
import { RateLimiter, Redis as RedisService } from "effect/persistence"
import { readFileSync } from "node:fs"
import { getCACertificates, setDefaultCACertificates } from "node:tls"
import * as RedisStore from "../../src/store/RedisStore.ts"
import { Store } from "../../src/store/Store.ts"
import * as Redis from "../support/RedisServer.ts"
import * as Relay from "../support/Relay.ts"
import { Watch } from "../support/Watch.ts"
import { open } from "./RedisReplicas.ts"

const hour = Duration.hours(1)

/** The moment at which the store is back. */
const back = (store: Store["Service"]) => Effect.retry(store.get("k"), Schedule.spaced("20 millis"))

/** The moment at which something has come about. */
const until = (isSo: () => boolean) =>
  Effect.repeat(Effect.sync(isSo), { until: (so) => so, schedule: Schedule.spaced(5) })

const logged = () => {
  const lines: Array<string> = []
  return { lines, logging: Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))]) }
}

const failureOf = <A, E extends { readonly message: string }>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.flip(effect), ({ message }) => message)

describe.skipIf(Redis.isMissing)("Trouble with Redis", () => {
  it.live("F18 away at the start, and again later: every operation fails at once, and all is well when it is back", () =>
    Effect.gen(function*() {
      const redis = yield* Redis.make({ appendonly: "yes", appendfsync: "always" })
      yield* redis.kill
      const { lines, logging } = logged()
      const store = yield* open(redis.url).pipe(Effect.provide(logging))
      for (
        const attempt of [
          store.put("k", "v", hour),
          store.get("k"),
          store.take("k"),
          store.putIfAbsent("k", "v", hour),
          store.compareAndSet("k", "v", "w", hour),
          store.remove("k")
        ]
      ) {
        const { message } = yield* Effect.flip<unknown, { message: string }, never>(attempt)
        assert.include(message, "nothing listens there: start it")
      }
      yield* redis.start
      assert.deepStrictEqual(yield* back(store), Option.none())
      yield* store.put("k", "v", hour)
      yield* redis.kill
      assert.include(yield* failureOf(store.get("k")), "Redis: ")
      yield* redis.start
      assert.deepStrictEqual(yield* back(store), Option.some("v"))
      const told = lines.filter((line) => line.includes("sign-ins and refreshes fail"))
      assert.isAtLeast(told.length, 2)
      assert.include(told[0], `Redis at 127.0.0.1:${redis.port}: nothing listens there`)
      assert.isBelow(told.length, 4, "an outage is told once for each reason")
    }))

  it.live("F19 frozen: a command fails after half a second, and the store is back when Redis is", () =>
    Effect.gen(function*() {
      const redis = yield* Redis.make()
      const store = yield* open(redis.url)
      yield* store.put("k", "v", hour)
      yield* redis.freeze
      assert.include(yield* failureOf(store.take("k")), "did not answer within 500 ms")
      yield* redis.thaw
      // What was asked for was done when nobody waited any more.
      assert.deepStrictEqual(yield* back(store), Option.none())
    }))

  it.live("F19 an answer that is lost: what was taken counts as taken", () =>
    Effect.gen(function*() {
      const redis = yield* Redis.make()
      const relay = yield* Relay.make(redis.port)
      const store = yield* open(Redacted.make(`redis://127.0.0.1:${relay.port}`))
      yield* store.put("k", "what was kept", hour)
      relay.lose(1, "what was kept")
      assert.include(yield* failureOf(store.take("k")), "it closed the connection")
      assert.deepStrictEqual(yield* back(store), Option.none())
    }))

  it.live("F19 a connection that has died without a word is replaced", () =>
    Effect.gen(function*() {
      const redis = yield* Redis.make()
      const relay = yield* Relay.make(redis.port)
      const store = yield* open(Redacted.make(`redis://127.0.0.1:${relay.port}`))
      yield* store.put("k", "v", hour)
      relay.strand()
      assert.include(yield* failureOf(store.get("k")), "did not answer")
      assert.deepStrictEqual(yield* back(store), Option.some("v"))
    }))

  it.live("F24 a stall of this process is no silence of Redis", () =>
    Effect.gen(function*() {
      const redis = yield* Redis.make()
      const store = yield* open(redis.url)
      yield* store.put("k", "v", hour)
      for (const moment of [0, 1, 2, 3]) {
        const answer = yield* Effect.forkChild(store.get("k"))
        for (let turn = 0; turn < moment; turn++) yield* Effect.yieldNow
        const end = performance.now() + 700
        while (performance.now() < end);
        assert.deepStrictEqual(yield* Fiber.join(answer), Option.some("v"))
      }
    }))

  it.live("F18 a primary that has become a replica is left for the one that its address leads to", () =>
    Effect.gen(function*() {
      const [old, next] = [yield* Redis.make(), yield* Redis.make()]
      const relay = yield* Relay.make(old.port)
      const store = yield* open(Redacted.make(`redis://127.0.0.1:${relay.port}`))
      yield* old.run("REPLICAOF", "127.0.0.1", String(next.port))
      relay.target = next.port
      assert.include(yield* failureOf(store.put("k", "v", hour)), "it is a replica")
      yield* Effect.retry(store.put("k", "v", hour), Schedule.spaced("50 millis"))
      assert.strictEqual(yield* next.run("GET", "effect-okta:k"), "v")
    }))

  it.live("F20 full: what cannot be written is refused, what is there stays, and can be taken", () =>
    Effect.gen(function*() {
      const redis = yield* Redis.make()
      const store = yield* open(redis.url)
      yield* store.put("k", "v", hour)
      yield* redis.run("CONFIG", "SET", "maxmemory", "1")
      for (
        const attempt of [
          store.put("new", "v", hour),
          store.putIfAbsent("new", "v", hour),
          store.compareAndSet("k", "v", "w", hour)
        ]
      ) {
        const error = yield* Effect.flip<unknown, { message: string }, never>(attempt)
        assert.include(error.message, "no memory left: raise its maxmemory")
      }
      assert.deepStrictEqual(yield* store.take("k"), Option.some("v"))
      yield* redis.run("CONFIG", "SET", "maxmemory", "0")
      assert.deepStrictEqual(yield* store.get("new"), Option.none())
      yield* store.put("new", "v", hour)
    }))

  it.live("a password that is missing or wrong, and a user who may not: says so, and never repeats the password", () =>
    Effect.gen(function*() {
      const redis = yield* Redis.make({ requirepass: "right" })
      yield* redis.run("ACL", "SETUSER", "reader", "on", ">canary-2", "~*", "+get", "+hello", "+client")
      const watch = new Watch()
      for (
        const [credentials, expected] of [
          ["", "it wants a password"],
          [":canary-1@", "it does not take the user name or the password"],
          ["nobody:canary-1@", "it does not take the user name or the password"],
          ["reader:canary-2@", "the user in the URL may not do that"]
        ] as const
      ) {
        yield* Effect.scoped(Effect.gen(function*() {
          const store = yield* open(Redacted.make(`redis://${credentials}127.0.0.1:${redis.port}`))
          assert.include(yield* failureOf(store.put("k", "v", hour)), expected)
          yield* until(() => watch.text.includes(expected) || watch.text.includes("is connected"))
        })).pipe(Effect.provide(watch.layer))
      }
      yield* (yield* open(redis.url)).put("k", "v", hour)
      assert.notInclude(watch.text, "canary")
      assert.include(watch.text, "does not take the user name")
    }))

  it.live("a user who may do no more than the documentation says will do", () =>
    Effect.gen(function*() {
      const redis = yield* Redis.make()
      const [, listed = ""] = /its own user.*?: (.*?) on the keys/is.exec(readFileSync("docs/scaling.md", "utf8")) ?? []
      const commands = [...listed.matchAll(/`([A-Z ]+)`/g)].map(([, name = ""]) =>
        `+${name.toLowerCase().replace(" ", "|")}`
      )
      assert.isAtLeast(commands.length, 7)
      yield* redis.run("ACL", "SETUSER", "app", "on", ">secret", "~effect-okta:*", ...commands)
      const { lines, logging } = logged()
      const url = Redacted.make(`redis://app:secret@127.0.0.1:${redis.port}`)
      yield* Effect.gen(function*() {
        const { fixedWindow } = yield* RateLimiter.RateLimiterStore
        const store = yield* Store
        yield* until(() => lines.includes("Redis is connected."))
        yield* store.put("k", "v", hour)
        assert.isTrue(yield* store.putIfAbsent("other", "v", hour))
        assert.isTrue(yield* store.compareAndSet("k", "v", "w", hour))
        assert.deepStrictEqual(yield* store.get("k"), Option.some("w"))
        assert.deepStrictEqual(yield* store.take("k"), Option.some("w"))
        yield* store.remove("other")
        for (const times of [1, 2]) {
          const [count] = yield* fixedWindow({ key: "l", tokens: 1, refillRate: Duration.seconds(1), limit: 5 })
          assert.strictEqual(count, times)
        }
      }).pipe(Effect.provide(RedisStore.layer({ url })), Effect.provide(logging))
    }))

  it.live("F29 what somebody else put under a key of the store counts as absent, with a warning", () =>
    Effect.gen(function*() {
      const redis = yield* Redis.make()
      const watch = new Watch()
      yield* Effect.gen(function*() {
        const store = yield* open(redis.url)
        yield* redis.run("RPUSH", "effect-okta:k", "canary")
        assert.deepStrictEqual(yield* store.get("k"), Option.none())
        assert.deepStrictEqual(yield* store.take("k"), Option.none())
        assert.isFalse(yield* store.compareAndSet("k", "v", "w", hour))
        yield* store.put("k", "v", hour)
        assert.deepStrictEqual(yield* store.get("k"), Option.some("v"))
      }).pipe(Effect.provide(watch.layer))
      assert.include(watch.text, "did not write; it counts as absent")
      assert.notInclude(watch.text, "canary")
    }))

  it.live("a Redis that forgets when it is full is warned of", () =>
    Effect.gen(function*() {
      for (
        const [policy, maxmemory, expected] of [
          ["allkeys-lru", "100mb", 1],
          ["allkeys-lru", "0", 0],
          ["noeviction", "100mb", 0]
        ] as const
      ) {
        const redis = yield* Redis.make({ "maxmemory-policy": policy, maxmemory })
        const { lines, logging } = logged()
        yield* Effect.gen(function*() {
          const store = yield* open(redis.url)
          // The answers come in the order of the questions, and the connection itself has asked by then.
          yield* until(() => lines.includes("Redis is connected."))
          yield* store.get("k")
          yield* store.get("k")
        }).pipe(Effect.provide(logging))
        const warnings = lines.filter((line) => line.includes("maxmemory-policy allkeys-lru"))
        assert.lengthOf(warnings, expected, policy)
      }
    }))

  it.live("TLS: a certificate of a trusted authority for this very host is accepted, and no other", () =>
    Effect.gen(function*() {
      const authority = readFileSync(new URL("../support/certificates/authority.pem", import.meta.url), "utf8")
      setDefaultCACertificates([...getCACertificates(), authority])
      for (const certificate of ["expired", "wrong-host", "self-signed"]) {
        const { url } = yield* Redis.make({}, certificate)
        assert.include(yield* failureOf((yield* open(url)).get("k")), "TLS certificate", certificate)
      }
      const store = yield* open((yield* Redis.make({}, "good")).url)
      yield* store.put("k", "v", hour)
      assert.deepStrictEqual(yield* store.get("k"), Option.some("v"))
    }))

  it.effect("needs a URL of Redis and a fitting prefix, and repeats neither", () =>
    Effect.gen(function*() {
      const urls = [
        "",
        "canary",
        "redis://",
        "http://:canary@127.0.0.1",
        "redis://:canary@127.0.0.1:port",
        "redis://:canary@127.0.0.1/name",
        "redis://:canary%zz@127.0.0.1",
        "redis://127.0.0.1?password=canary",
        "redis://127.0.0.1#canary"
      ]
      for (const url of urls) {
        const error = yield* Effect.flip(open(Redacted.make(url)))
        assert.strictEqual(error.operation, "open")
        assert.include(error.message, "the URL ")
        assert.notInclude(error.message, "canary")
      }
      for (const prefix of ["", "a b", "é", "p".repeat(65)]) {
        const error = yield* Effect.flip(open(Redacted.make("redis://127.0.0.1:1"), { prefix }))
        assert.include(error.message, "a prefix has 1 to 64 visible ASCII characters")
      }
    }))

  it.effect("tells what to do, in words of its own, whatever the client of the app says", () =>
    Effect.gen(function*() {
      const failing = (cause: unknown) => {
        const failed = Effect.fail(new RedisService.RedisError({ cause }))
        const none = { send: () => failed, eval: () => () => failed, subscribe: () => Effect.never, reserve: failed }
        return RedisStore.layerRedis().pipe(Layer.provide(Layer.succeed(RedisService.Redis, none)))
      }
      for (
        const [cause, expected] of [
          [new Error("LOADING Redis is loading the dataset in memory"), "still loading its data: wait"],
          [new Error("MISCONF Redis is configured to save RDB snapshots, canary"), "cannot save to its disk"],
          [new Error("ERR unknown command 'GETDEL', with args beginning with: 'canary'"), "use Redis 6.2 or newer"],
          [new Error("ERR max number of clients reached"), "raise its maxclients"],
          [new Error("MOVED 3999 10.0.0.1:6381"), "a Redis service that speaks to the whole cluster"],
          [new Error("CLUSTERDOWN Hash slot not served"), "mend the cluster"],
          [new Error("SURPRISE canary"), "Redis failed (SURPRISE)"],
          [Object.assign(new Error("canary"), { code: "ECONNREFUSED" }), "nothing listens there"],
          [Object.assign(new Error("canary"), { code: "CERT_HAS_EXPIRED" }), "TLS certificate"],
          ["canary", "Redis failed"]
        ] as const
      ) {
        const message = yield* failureOf(
          Effect.provide(Effect.flatMap(Store, (store) => store.take("k")), failing(cause))
        )
        assert.include(message, expected)
        assert.notInclude(message, "canary")
      }
    }))
})
