import { assert, it } from "@effect/vitest"
import * as DpopError from "../../src/token/DpopError.ts"

it("what is wrong with a proof or a binding is told in a sentence that no client can break out of", () => {
  const reason = "is for \u001b[31m\n\u202e"
  for (const Failure of [DpopError.InvalidDpopProof, DpopError.InvalidTokenBinding]) {
    const { _tag, message } = new Failure({ reason })
    assert.match(message, /^The (?:DPoP proof|token) is for [\x20-\x7E]+\.( The client .*\.)?$/, _tag)
    assert.notInclude(message, reason)
  }
  const unavailable = new DpopError.DpopProofsUnavailable({ reason: "the store is away" })
  assert.include(unavailable.message, ": the store is away.")
  assert.notInclude(new DpopError.DpopNonceRequired({ nonce: "1.secret" }).message, "secret")
})
