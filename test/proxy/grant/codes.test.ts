import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"
import { provesChallenge } from "../../../src/proxy/grant/AuthorizationCode.ts"
import { tokenProof } from "../../support/Credentials.ts"
import { ProofKey } from "../../support/Proofs.ts"
import { Watch } from "../../support/Watch.ts"
import { serverUrl } from "../ProxyTest.ts"
import { assertRefused, claimsOf, codeChallenge, isAlive, tokenServers, verifier } from "./TokenServer.ts"

const ofUsed = /a record of the kind \\*"used/
const key = new ProofKey()

describe("a verifier (RFC 7636 section 4.6)", () => {
  it("belongs to the challenge that is made of it, and to no other", () => {
    assert.isTrue(provesChallenge(verifier, codeChallenge))
    assert.isFalse(provesChallenge("w".repeat(43), codeChallenge))
    assert.isFalse(provesChallenge(verifier, codeChallenge.slice(1)))
    assert.isFalse(provesChallenge(verifier, `${codeChallenge}A`))
    assert.isFalse(provesChallenge(verifier, ""))
  })

  it("has 43 to 128 characters that need no encoding, whoever made a challenge of something else", () => {
    const challengeOf = (text: string) => createHash("sha256").update(text).digest("base64url")
    for (const good of [verifier, `${"a".repeat(39)}-._~`, `${"a".repeat(124)}-._~`]) {
      assert.isTrue(provesChallenge(good, challengeOf(good)))
    }
    for (const wrong of ["", "v".repeat(42), "v".repeat(129), `${verifier}!`, `!${verifier}`, `${verifier}\n`]) {
      assert.isFalse(provesChallenge(wrong, challengeOf(wrong)))
    }
  })
})

describe("a code", () => {
  it.effect("is good once, and ends its grant when it comes again, also when its time is over", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const { approve, okta, one, other, redemption, register } = yield* tokenServers({ watch })
      const { client_id } = yield* register()
      const { client_id: stranger } = yield* register({ client_name: "Other" })
      for (const pause of ["0 seconds", "2 minutes", "23 hours"] as const) {
        const form = redemption(client_id, yield* approve(client_id))
        const revoked = okta.revoked.length
        const { body, status } = yield* one.token(form)
        assert.strictEqual(status, 200)
        yield* TestClock.adjust(pause)
        assertRefused(yield* other.token({ ...form, client_id: stranger }), 400, "invalid_grant")
        assert.isTrue(yield* isAlive(one.grants, body["access_token"]))
        watch.events.length = 0
        assertRefused(yield* other.token(form), 400, "invalid_grant")
        assert.isFalse(yield* isAlive(one.grants, body["access_token"]))
        assert.lengthOf(okta.revoked, revoked + 1)
        assert.deepInclude(watch.events[0], { _tag: "ReplayDetected", what: "authorization code" })
        assert.deepInclude(watch.events[1], { _tag: "GrantRevoked", why: "code-replayed" })
      }
    }))

  it.effect("is used up by whoever does not know its verifier or redirect URI, which ends the grant", () =>
    Effect.gen(function*() {
      const watch = new Watch()
      const { approve, okta, one, redemption, register } = yield* tokenServers({ watch })
      const { client_id } = yield* register()
      for (const wrong of [{ code_verifier: "w".repeat(43) }, { redirect_uri: "http://127.0.0.1:3333/other" }]) {
        const form = redemption(client_id, yield* approve(client_id))
        const revoked = okta.revoked.length
        assertRefused(yield* one.token({ ...form, ...wrong }), 400, "invalid_grant")
        assert.lengthOf(okta.revoked, revoked + 1)
        assert.deepInclude(watch.events.at(-1), { _tag: "GrantRevoked", why: "code-misused" })
        assertRefused(yield* one.token(form), 400, "invalid_grant")
      }
    }))

  it.effect("is good for a minute", () =>
    Effect.gen(function*() {
      const { approve, okta, one, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      const [early, late] = [yield* approve(client_id), yield* approve(client_id)]
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual((yield* one.token(redemption(client_id, early))).status, 200)
      yield* TestClock.adjust("1 second")
      assertRefused(yield* one.token(redemption(client_id, late)), 400, "invalid_grant")
      assert.deepStrictEqual(okta.revoked, [])
    }))

  it.effect("of another client, or for another resource, stays good", () =>
    Effect.gen(function*() {
      const { approve, one, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      const { client_id: stranger } = yield* register({ client_name: "Other" })
      const form = redemption(client_id, yield* approve(client_id))
      assertRefused(yield* one.token({ ...form, client_id: stranger }), 400, "invalid_grant")
      assertRefused(yield* one.token({ ...form, resource: `${serverUrl}/mcp` }), 400, "invalid_target")
      assert.strictEqual((yield* one.token({ ...form, resource: serverUrl })).status, 200)
    }))

  it.effect("gets nothing when its grant has been ended meanwhile", () =>
    Effect.gen(function*() {
      const { approve, one, other, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      const form = redemption(client_id, yield* approve(client_id))
      yield* TestClock.adjust("1 second")
      yield* other.grants.endAll({ kind: "person", value: "00u1ada" }, "by-operator")
      assertRefused(yield* one.token(form), 400, "invalid_grant")
    }))

  it.effect("that has no form of a code is not looked up, so that it is refused while the store is away", () =>
    Effect.gen(function*() {
      const { one, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      one.store.down = true
      for (const code of ["x", "a".repeat(42), "a".repeat(44), `${"a".repeat(42)}!`, `\n${"a".repeat(43)}`]) {
        assertRefused(yield* one.token(redemption(client_id, code)), 400, "invalid_grant")
      }
      const code = `${"a".repeat(40)}_-0`
      assertRefused(yield* one.token(redemption(client_id, code)), 503, "temporarily_unavailable")
    }))

  it.effect("bound to a key is good with a proof by it only; one that is not is bound by the first proof", () =>
    Effect.gen(function*() {
      const { approve, one, redemption, register } = yield* tokenServers()
      const { client_id } = yield* register()
      const code = (dpopKey?: string) => approve(client_id, dpopKey === undefined ? {} : { dpopKey })
      const redeem = (code: string, headers = {}) => one.token(redemption(client_id, code), headers)
      for (const headers of [{}, tokenProof(new ProofKey())]) {
        const bound = yield* code(key.thumbprint)
        assertRefused(yield* redeem(bound, headers), 400, "invalid_grant")
        assertRefused(yield* redeem(bound, tokenProof(key)), 400, "invalid_grant")
      }
      const answers = [
        yield* redeem(yield* code(key.thumbprint), tokenProof(key)),
        yield* redeem(yield* code(), tokenProof(key))
      ]
      for (const { body } of answers) {
        assert.strictEqual(body["token_type"], "DPoP")
        assert.deepStrictEqual(claimsOf(body["access_token"])["cnf"], { jkt: key.thumbprint })
      }
    }))
})

it.effect("a note of a used code, moved to where that of another would be, ends nothing, and is warned of", () =>
  Effect.gen(function*() {
    const { approve, logged, one, raw, redemption, register } = yield* tokenServers()
    const { client_id } = yield* register()
    const redeem = Effect.gen(function*() {
      const form = redemption(client_id, yield* approve(client_id))
      one.store.written.clear()
      const { body } = yield* one.token(form)
      const [noted = ["", ""]] = [...one.store.written].filter(([key]) => key.startsWith("used:"))
      return { form, token: body["access_token"], key: noted[0], text: noted[1] }
    })
    const first = yield* redeem
    const second = yield* redeem
    yield* TestClock.adjust("2 minutes")
    assert.isTrue(Option.isSome(yield* raw.get(second.key)))
    for (const text of [first.text, "not sealed at all"]) {
      logged.length = 0
      yield* raw.put(second.key, text, Duration.hours(1))
      assertRefused(yield* one.token(second.form), 400, "invalid_grant")
      assert.match(logged.join(), ofUsed)
      for (const { token } of [first, second]) assert.isTrue(yield* isAlive(one.grants, token))
    }
    yield* raw.put(second.key, second.text, Duration.hours(1))
    logged.length = 0
    assertRefused(yield* one.token(second.form), 400, "invalid_grant")
    assert.notMatch(logged.join(), ofUsed)
    assert.isFalse(yield* isAlive(one.grants, second.token))
    assert.isTrue(yield* isAlive(one.grants, first.token))
  }))

it.effect("F29 a code, or a note of one that was used, of another shape than this server writes is as none", () =>
  Effect.gen(function*() {
    const { approve, logged, one, raw, redemption, register } = yield* tokenServers()
    const { client_id } = yield* register()
    const written = (kind: string) => [...one.store.written.keys()].findLast((key) => key.startsWith(`${kind}:`)) ?? ""
    const put = (key: string, value: object) =>
      Effect.flatMap(one.sealed.seal("code", JSON.stringify(value)), (text) => raw.put(key, text, Duration.hours(1)))

    const code = yield* approve(client_id)
    yield* put(written("code"), { id: code, value: { clientId: client_id } })
    assertRefused(yield* one.token(redemption(client_id, code)), 400, "invalid_grant")
    assert.match(logged.join(), /a record of the kind \\*"code/)

    const form = redemption(client_id, yield* approve(client_id))
    const { body } = yield* one.token(form)
    const key = written("used")
    yield* put(key, { key: key.slice("used:".length) })
    yield* TestClock.adjust("2 minutes")
    assertRefused(yield* one.token(form), 400, "invalid_grant")
    assert.match(logged.join(), ofUsed)
    assert.isTrue(yield* isAlive(one.grants, body["access_token"]))
  }))
