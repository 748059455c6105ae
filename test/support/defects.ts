import type { Defect } from "effect-okta/testing"

/** Every way in which a token of `OktaTest` can be wrong. */
export const defects: ReadonlyArray<Defect> = [
  "expired",
  "not-yet-valid",
  "wrong-issuer",
  "wrong-audience",
  "no-subject",
  "unknown-key",
  "bad-signature",
  "unsigned",
  "id-token",
  "malformed"
]
