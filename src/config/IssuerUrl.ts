import { publicUrlMistakes, type Reading } from "./PublicUrl.ts"

/**
 * The two kinds of Okta authorization server.
 *
 * The access tokens of an `org` server are for Okta's own APIs and cannot be validated by anybody else; those of a
 * `custom` server are meant for your API.
 *
 * @see https://developer.okta.com/docs/concepts/auth-servers/
 */
export type IssuerKind = "org" | "custom"

/**
 * Whether an issuer is Okta's org server (no path) or a custom server (`/oauth2/default`, `/oauth2/{id}`). Throws a
 * `TypeError` for text that is not a URL.
 *
 * @see https://developer.okta.com/docs/concepts/auth-servers/
 */
export const issuerKind = (issuer: string): IssuerKind => new URL(issuer).pathname === "/" ? "org" : "custom"

/**
 * Where an issuer publishes its metadata: OpenID Connect Discovery first, then RFC 8414 section 3 with the issuer's
 * path behind `.well-known`.
 */
export const wellKnownUrls = (issuer: string): readonly [openid: string, oauth: string] => {
  const { origin, pathname } = new URL(issuer)
  const path = pathname === "/" ? "" : pathname
  return [`${issuer}/.well-known/openid-configuration`, `${origin}/.well-known/oauth-authorization-server${path}`]
}

const wellKnownDocument = /\/\.well-known\/[^/?#]*(\/[^?#]*)?.*$/
const endpoint =
  /(?:\/oauth2)?\/v1(?:\/(?:authorize|token|keys|userinfo|introspect|revoke|logout|clients))?\/?(?:[?#].*)?$/
const serverless = /^(https?:\/\/[^/]+\/oauth2)\/?$/
const adminConsole =
  /^(https?:\/\/[^/.]+)-admin(\.(?:(?:okta|oktapreview|okta-emea|okta-gov)\.com|okta\.mil))(?:\/admin(?:\/.*)?$)?/i

/** What a person may have pasted in place of an issuer, or beside it. */
const readIssuer = (text: string): Reading => {
  const problems: Array<string> = []
  const url = text
    .replace(wellKnownDocument, (_, path: string | undefined, index: number) => {
      problems.push("is the address of a document, not of the issuer")
      // RFC 8414 puts the issuer's path behind `.well-known`.
      return index === new URL(text).origin.length ? path ?? "" : ""
    })
    .replace(endpoint, () => {
      problems.push("is the address of an endpoint, not of the issuer")
      return ""
    })
    .replace(adminConsole, (_, name: string, domain: string) => {
      problems.push("is on the domain of the Admin Console")
      return `${name}${domain}`
    })
    .replace(serverless, (_, start: string) => {
      problems.push("ends where the id of an authorization server belongs")
      return `${start}/default`
    })
  return { problems, url }
}

/** Every mistake in an issuer as a person may have pasted it, each a sentence that says how to mend it. */
export const issuerMistakes = (issuer: string): ReadonlyArray<string> =>
  publicUrlMistakes(issuer, "https://acme.okta.com/oauth2/default", readIssuer)
