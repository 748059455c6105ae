import { assert, it } from "@effect/vitest"
import { InvalidPolicy } from "../../src/resource/Policy.ts"
import { AccessDenied, InsufficientAuthentication, InsufficientScope } from "../../src/resource/PolicyRefusal.ts"
import { ForbiddenOrigin } from "../../src/resource/RequestOrigin.ts"
import * as Errors from "../../src/token/TokenError.ts"

it("messages quote what a token says so that it can be logged as it stands", () => {
  for (const text of ["\u009b2J", "\u202eevil", "a\u2028b", "a\u2029b", "\u007f", "\u001b[2J", "a\r\nb", "\u{e0041}"]) {
    const errors = [
      new Errors.MalformedToken({ reason: text }),
      new Errors.UnsupportedAlgorithm({ expected: [text], actual: text }),
      new Errors.WrongTokenType({ expected: text, actual: text }),
      new Errors.InvalidSignature({ kid: text, algorithm: text }),
      new Errors.InvalidIssuer({ expected: [text], actual: text }),
      new Errors.InvalidAudience({ expected: [text], actual: [text] }),
      new Errors.InvalidClaim({ claim: text, problem: text }),
      new Errors.ClientNotAllowed({ allowed: [text], clientId: text }),
      new InsufficientScope({ required: [text], missing: [text], granted: [] }),
      new InsufficientAuthentication({ acrValues: [text], required: [], acr: text }),
      new AccessDenied({ reason: text }),
      new InvalidPolicy({ field: text, value: text, problem: text }),
      new ForbiddenOrigin({ header: "origin", actual: text })
    ]
    for (const { _tag, message } of errors) {
      assert.notMatch(message, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u, _tag)
      assert.match(message, /\\/, _tag)
    }
  }
})
