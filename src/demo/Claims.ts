import { DateTime, Duration, Predicate } from "effect"
import { membersOf } from "./Shown.ts"

/** A claim of a token, for people to read. */
export interface Claim {
  readonly name: string
  readonly value: string
  readonly meaning: string
}

const meanings: { readonly [claim: string]: string } = {
  iss: "Who issued it: this server, not Okta.",
  aud: "Which server it is for. Any other refuses it.",
  sub: "Who it speaks for: the person, by Okta's id.",
  client_id: "The client that it was given to: the sealed record of its registration.",
  scope: "What the client may do in the person's name.",
  jti: "Its own number, unlike that of any other token.",
  sid: "The grant it belongs to. When that ends, so does the token.",
  iat: "When it was issued.",
  exp: "When it ends. Then the client gets another by its refresh token.",
  auth_time: "When the person signed in at Okta.",
  uid: "The person's id at Okta.",
  preferred_username: "The name that the person signs in with.",
  email: "The person's email address, as Okta knows it.",
  email_verified: "Whether Okta has checked that address.",
  groups: "The person's groups in Okta.",
  amr: "How the person signed in. “pwd” is a password.",
  acr: "How sure Okta is that it was that person."
}

const times = new Set(["iat", "exp", "auth_time"])

/** How far away a time is, in whole minutes. */
const distance = (seconds: number, now: number): string => {
  const minutes = Math.round(Duration.toMinutes(Duration.millis(Math.abs(seconds * 1000 - now))))
  if (minutes === 0) return "just now"
  const length = minutes === 1 ? "1 minute" : `${minutes} minutes`
  return seconds * 1000 < now ? `${length} ago` : `in ${length}`
}

const shown = (name: string, value: unknown, now: number): string => {
  if (times.has(name) && Predicate.isNumber(value)) {
    const time = DateTime.formatIso(DateTime.makeUnsafe(value * 1000)).slice(11, 19)
    return `${time} UTC (${distance(value, now)})`
  }
  if (Array.isArray(value)) return value.map(String).join(", ")
  const text = String(value)
  return name === "client_id" && text.length > 40 ? `${text.slice(0, 20)}…` : text
}

/** The claims of an access token, in the order of the list above; `now` in milliseconds since 1970. */
export const claimsOf = (token: string, now: number): ReadonlyArray<Claim> => {
  const claims = membersOf(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"))
  const order = Object.keys(meanings)
  const place = (name: string) => order.includes(name) ? order.indexOf(name) : order.length
  return Object.entries(claims)
    .sort(([a], [b]) => place(a) - place(b))
    .map(([name, value]) => ({
      name,
      value: shown(name, value, now),
      meaning: meanings[name] ?? "A claim that this page has no words for."
    }))
}
