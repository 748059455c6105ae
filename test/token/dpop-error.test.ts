import { assert, it } from "@effect/vitest"
import {
  DpopNonceRequired,
  DpopProofsUnavailable,
  InvalidDpopProof,
  InvalidTokenBinding
} from "../../src/token/DpopError.ts"

it("what is wrong with a proof or a binding is told in a sentence that no client can break out of", () => {
  const reason = "is for \u001b[31m\n\u202e"
  for (const [tag, Failure] of Object.entries({ InvalidDpopProof, InvalidTokenBinding })) {
    const { _tag, message } = new Failure({ reason })
    assert.strictEqual(_tag, tag)
    assert.match(message, /^The (?:DPoP proof|token) is for [\x20-\x7E]+\.( The client .*\.)?$/, _tag)
    assert.notInclude(message, reason)
  }
  const unavailable = new DpopProofsUnavailable({ reason: "the store is away" })
  assert.include(unavailable.message, ": the store is away.")
  assert.notInclude(new DpopNonceRequired({ nonce: "1.secret" }).message, "secret")
})
