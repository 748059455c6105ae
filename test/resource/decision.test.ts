import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result } from "effect"
import { Policy, type Principal, type Service, type User } from "effect-okta"
import { TestClock } from "effect/testing"
import { decide } from "../../src/resource/Decision.ts"
import { compile, scopesOf } from "../../src/resource/Rule.ts"

const ada: User = {
  _tag: "User",
  subject: "ada@example.com",
  username: "ada@example.com",
  email: "ada@example.com",
  groups: ["Editors", "Everyone"],
  scopes: ["files:read", "mail.*"],
  clientId: "0oa1client",
  acr: "urn:okta:loa:1fa:any",
  amr: ["pwd"],
  authTime: 1000
}
const robot: Service = { _tag: "Service", subject: "0oa2robot", clientId: "0oa2robot", scopes: ["files:read"] }
const now = 1300
const hierarchy = { admin: ["editor", "users:*"], editor: ["files:write"], loop: ["pool"], pool: ["loop"] }

const ruleOf = (policy: Policy) => Result.getOrThrow(compile(policy, hierarchy))

const meets = (policy: Policy, principal: Principal = ada) =>
  Effect.map(
    Effect.result(decide(ruleOf(policy), principal, () => now)),
    (result) => Result.isFailure(result) ? result.failure : undefined
  )

const { authTime: _, ...withoutTime } = ada

const withScopes = (...scopes: ReadonlyArray<string>): User => ({ ...ada, scopes })

describe("a policy lets in", () => {
  const cases: ReadonlyArray<readonly [what: string, policy: Policy, principal?: Principal]> = [
    ["everybody when it is empty", {}],
    ["who has the scope", { scopes: "files:read" }],
    ["who has a pattern over the scope", { scopes: ["mail.send", "mail.read.own"] }],
    ["who has the pattern that is needed", { scopes: "mail.*" }],
    ["who has a scope that implies the one needed", { scopes: "files:write" }, withScopes("editor")],
    ["over several steps", { scopes: "files:write" }, withScopes("admin")],
    ["by a pattern in what is implied", { scopes: ["users:delete", "files:write"] }, withScopes("admin")],
    ["in a hierarchy that goes in circles", { scopes: "loop" }, withScopes("pool")],
    ["who has one of several scopes", { anyOfScopes: ["files:write", "files:read"] }],
    ["who is in one of several groups", { groups: ["Nobody", "Editors"] }],
    ["who is in each of several groups", { allOfGroups: ["Everyone", "Editors"] }],
    ["who comes through one of the clients", { clients: ["0oa1client"] }],
    ["a service, by its client id", { clients: "0oa2robot", scopes: "files:read" }, robot],
    ["who has an address in the domain", { emailDomains: "example.com" }],
    ["who has a verified address", { emailVerified: true }, { ...ada, emailVerified: true }],
    ["who signed in strongly enough", { acr: ["urn:okta:loa:2fa:any", "urn:okta:loa:1fa:any"] }],
    ["who signed in lately enough", { maxAge: "5 minutes" }],
    ["by a check", { check: ({ subject }) => Effect.succeed(subject === ada.subject) }],
    ["by one alternative", Policy.any([{ groups: "Nobody" }, { clients: "0oa1client" }])],
    [
      "though another alternative cannot be told",
      Policy.any([{ check: () => Effect.fail("away") }, { groups: "Editors" }])
    ],
    ["by all of several", Policy.all([{ groups: "Editors" }, Policy.any([{ scopes: "x" }, { scopes: "files:read" }])])]
  ]
  it.effect.each(cases)("%s", ([, policy, principal]) =>
    Effect.gen(function*() {
      assert.isUndefined(yield* meets(policy, principal))
    }))
})

describe("a policy denies, for good,", () => {
  const cases: ReadonlyArray<readonly [what: string, policy: Policy, reason: string, principal?: Principal]> = [
    ["who is in none of the groups", { groups: ["A", "B"] }, "is in none of the groups \"A\", \"B\""],
    ["who is not in each group", { allOfGroups: ["Editors", "Admins"] }, "is not in the groups \"Admins\""],
    ["who comes through another client", { clients: "0oa3" }, "came through \"0oa1client\", not one of \"0oa3\""],
    ["who has no address there", { emailDomains: ["ample.com", "EXAMPLE.com"] }, "no email address at ample.com"],
    ["who has one that is not verified", { emailDomains: "example.com" }, "email_verified", {
      ...ada,
      emailVerified: false
    }],
    ["of whose address nobody says that it is verified", { emailVerified: true }, "email_verified"],
    ["a service, of a group", { groups: "Editors" }, "is a service", robot],
    ["a service, of a sign-in", { acr: "x" }, "is a service", robot],
    ["by a check", { check: () => Effect.succeed(false) }, "did not pass the check"],
    ["though scopes are missing too", { scopes: "files:write", groups: "Admins" }, "is in none of the groups"],
    [
      "by every alternative, each with its reason",
      Policy.any([{ groups: "A" }, { clients: "0oa3" }]),
      "is in none of the groups \"A\" (does Okta put groups into the token?); or came through"
    ]
  ]
  it.effect.each(cases)("%s", ([, policy, reason, principal]) =>
    Effect.gen(function*() {
      const refusal = yield* meets(policy, principal)
      assert.strictEqual(refusal?._tag, "AccessDenied")
      assert.include(refusal?.message, reason)
    }))
})

describe("a policy asks for more", () => {
  const scopes: ReadonlyArray<
    readonly [what: string, policy: Policy, required: ReadonlyArray<string>, missing: ReadonlyArray<string>]
  > = [
    ["naming all that is needed", { scopes: ["files:read", "files:write"] }, ["files:read", "files:write"], [
      "files:write"
    ]],
    [
      "of every part at once",
      Policy.all([{ scopes: "files:read" }, { scopes: "a" }, { all: [{ scopes: ["b", "a"] }] }]),
      ["files:read", "a", "b"],
      ["a", "b"]
    ],
    ["when none of several is there, the first", { anyOfScopes: ["a", "b"] }, ["a"], ["a"]],
    [
      "for the alternative that lacks least",
      Policy.any([{ scopes: ["a", "b"] }, { scopes: ["files:read", "c"] }]),
      ["files:read", "c"],
      ["c"]
    ],
    [
      "with the scopes of the alternative that holds",
      Policy.all([Policy.any([{ scopes: "z" }, { scopes: "files:read" }]), { scopes: "a" }]),
      ["files:read", "a"],
      ["a"]
    ],
    ["for an alternative that scopes would open", Policy.any([{ groups: "Admins" }, { scopes: "admin" }]), ["admin"], [
      "admin"
    ]],
    ["not for what a narrower scope would give", { scopes: "files:*" }, ["files:*"], ["files:*"]]
  ]
  it.effect.each(scopes)("%s", ([, policy, required, missing]) =>
    Effect.gen(function*() {
      const refusal = yield* meets(policy)
      assert(refusal?._tag === "InsufficientScope")
      assert.deepStrictEqual(refusal.required, required)
      assert.deepStrictEqual(refusal.missing, missing)
      assert.deepStrictEqual(refusal.granted, ada.scopes)
    }))

  const strong = "urn:okta:loa:2fa:any"
  const signIns: ReadonlyArray<
    readonly [
      what: string,
      policy: Policy,
      acrValues: ReadonlyArray<string>,
      maxAge: number | undefined,
      principal?: User
    ]
  > = [
    ["for a stronger sign-in", { acr: strong }, [strong], undefined],
    ["for a later one", { maxAge: 299_000 }, [], 299],
    ["for both", { acr: strong, maxAge: "1 minute" }, [strong], 60],
    ["for what fits two needs", Policy.all([{ acr: ["a", "b"], maxAge: 9000 }, { acr: ["b", "c"], maxAge: 5000 }]), [
      "b"
    ], 5],
    ["where the token does not say when", { maxAge: "1 day" }, [], 86_400, withoutTime]
  ]
  it.effect.each(signIns)("%s", ([, policy, acrValues, maxAge, principal]) =>
    Effect.gen(function*() {
      const refusal = yield* meets({ ...policy, scopes: "files:write" }, principal)
      assert(refusal?._tag === "InsufficientAuthentication")
      assert.deepStrictEqual(refusal.acrValues, acrValues)
      assert.strictEqual(refusal.maxAge, maxAge)
      assert.deepStrictEqual(refusal.required, ["files:write"])
    }))

  it("of a client without a token: everything, and of alternatives the first", () => {
    const policy = Policy.all([
      { scopes: ["a", "b"], groups: "G" },
      { anyOfScopes: ["c", "d"] },
      Policy.any([{ scopes: ["b", "e"] }, { scopes: "f" }])
    ])
    assert.deepStrictEqual(scopesOf(ruleOf(policy)), ["a", "b", "c", "e"])
  })
})

describe("a check", () => {
  const failing = () => Effect.fail("the directory is away")

  it.effect("that fails leaves it open", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* meets({ check: failing }))?._tag, "CheckFailed")
      assert.strictEqual((yield* meets(Policy.any([{ check: failing }, { groups: "A" }])))?._tag, "CheckFailed")
      assert.strictEqual((yield* meets(Policy.any([{ check: failing }, { scopes: "a" }])))?._tag, "CheckFailed")
    }))

  it.effect("that fails changes nothing about what is certain", () =>
    Effect.gen(function*() {
      const no = () => Effect.succeed(false)
      assert.strictEqual((yield* meets(Policy.all([{ check: failing }, { check: no }])))?._tag, "AccessDenied")
      assert.strictEqual((yield* meets({ check: failing, groups: "A" }))?._tag, "AccessDenied")
    }))

  const endless: ReadonlyArray<readonly [how: string, check: () => Effect.Effect<boolean>]> = [
    ["never ends", () => Effect.never],
    ["waits for a promise", () => Effect.promise(() => new Promise<boolean>(() => {}))],
    ["cannot be interrupted", () => Effect.uninterruptible(Effect.never)]
  ]
  it.effect.each(endless)("that %s leaves it open after 10 seconds", ([, check]) =>
    Effect.gen(function*() {
      const asked = yield* Effect.forkChild(meets({ check }), { startImmediately: true })
      yield* TestClock.adjust("9999 millis")
      assert.isUndefined(asked.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(asked))?._tag, "CheckFailed")
      const uninterrupted = yield* Effect.forkChild(Effect.uninterruptible(meets({ check })), {
        startImmediately: true
      })
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(uninterrupted))?._tag, "CheckFailed")
      // Each of two has as much, and no is no.
      const no = () => Effect.succeed(false)
      const both = yield* Effect.forkChild(meets(Policy.all([{ check }, { check: no }])), { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(both))?._tag, "AccessDenied")
    }))

  it.effect("is asked only when it decides, and once", () =>
    Effect.gen(function*() {
      let asked = 0
      const check = () => Effect.sync(() => ++asked > 0)
      for (
        const policy of [
          { check, scopes: "a" },
          { check, groups: "A" },
          Policy.any([{ check }, { groups: "Editors" }])
        ]
      ) {
        yield* meets(policy)
        assert.strictEqual(asked, 0)
      }
      assert.isUndefined(yield* meets(Policy.all([{ check }, Policy.any([{ groups: "A" }, { check }])])))
      assert.strictEqual(asked, 1)
    }))
})

describe("a policy that is not in order is refused:", () => {
  const cases: ReadonlyArray<readonly [policy: Policy, message: ReadonlyArray<string>]> = [
    [{ scopes: ["a b"] }, ["scopes is \"a b\"", "is not a scope"]],
    [{ groups: [] }, ["groups is []", "nobody can meet"]],
    [{ any: [] }, ["any is []", "nobody can meet"]],
    [{ anyOfScopes: [] }, ["anyOfScopes is []", "nobody can meet"]],
    [{ clients: "" }, ["clients is \"\"", "is empty"]],
    [{ acr: "urn:\"x" }, ["is no acr value"]],
    [{ maxAge: -1 }, ["maxAge is -1", "is not a usable length of time"]],
    [Policy.all([{}, Policy.any([{ groups: "A" }, { scopes: "\u202e" }])]), ["all[1].any[1].scopes", "\\u{202e}"]],
    [Object.assign<Policy, object>({}, { scope: "a" }), ["scope is \"a\"", "is no part of a policy"]],
    [Object.assign<Policy, object>({}, { groups: [1] }), ["groups is 1", "is not text"]],
    [Object.assign<Policy, object>({}, { check: true }), ["check is true", "is not a function"]]
  ]
  it.each(cases)("%o", (policy, message) => {
    const compiled = compile(policy, {})
    assert(Result.isFailure(compiled))
    for (const words of message) assert.include(compiled.failure.message, words)
  })
})
