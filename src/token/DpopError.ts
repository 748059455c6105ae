import { Schema } from "effect"
import { escaped } from "../config/EscapedText.ts"

/** The DPoP proof is missing or not good for this request (RFC 9449 section 4.3). */
export class InvalidDpopProof extends Schema.TaggedError<InvalidDpopProof>()("InvalidDpopProof", {
  /** What is wrong with it, in words that follow "the proof": `is older than 60 seconds`. */
  reason: Schema.String
}) {
  override get message() {
    return escaped(
      `The DPoP proof ${this.reason}. The client has to make a new one for each request, with the key of its token.`
    )
  }
}

/** The DPoP proof lacks a nonce of this server's, or has one whose time is over (RFC 9449 section 8). */
export class DpopNonceRequired extends Schema.TaggedError<DpopNonceRequired>()("DpopNonceRequired", {
  /** The one to use from now on. */
  nonce: Schema.String
}) {
  override get message() {
    return "The DPoP proof has no nonce of this server's, or an old one. The client has to repeat the request with the one " +
      "that it was sent."
  }
}

/** The token and the way in which it was sent do not go together (RFC 9449 sections 7.1 and 7.2). */
export class InvalidTokenBinding extends Schema.TaggedError<InvalidTokenBinding>()("InvalidTokenBinding", {
  /** What is wrong, in words that follow "the token": `is bound to a key, but came as a bearer token`. */
  reason: Schema.String
}) {
  override get message() {
    return escaped(`The token ${this.reason}.`)
  }
}

/** Whether a proof has been used before cannot be told: try again later. */
export class DpopProofsUnavailable extends Schema.TaggedError<DpopProofsUnavailable>()("DpopProofsUnavailable", {
  /** Why not, and how to mend it. */
  reason: Schema.String
}) {
  override get message() {
    return `Whether a DPoP proof has been used before cannot be told: ${this.reason}.`
  }
}

/** Every way in which a proof can fail. */
export type DpopError = InvalidDpopProof | DpopNonceRequired | DpopProofsUnavailable
