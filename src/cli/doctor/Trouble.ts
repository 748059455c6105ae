import { Clock, DateTime, Effect, Option, Schema } from "effect"
import { isLoopbackHost, portOf, withoutUserinfo } from "../../config/PublicUrl.ts"
import type { Answer, FetchFailed } from "../../provider/OktaHttp.ts"
import { excerpt } from "../../provider/Quoted.ts"
import type { Trouble } from "./Check.ts"

/** Who was asked: Okta, this server by its public URL, or the server behind it. */
export type Asked = "Okta" | "this server" | "the upstream"

/** Where it is said at which address they are. */
const settings = { "Okta": "OKTA_ISSUER", "this server": "SERVER_URL", "the upstream": "--upstream" }

const starts = {
  "Okta": "Look for a slip in the host and port of OKTA_ISSUER, and at firewalls on the way.",
  "this server":
    "Start the server, and let it or the reverse proxy before it listen there. Before it runs: --skip-server",
  "the upstream": "Start it, or mend --upstream."
}

type Words = readonly [meaning: string, mend: string]

const behindProxy =
  "Look at this machine's clock, and for a proxy on the way that puts its own certificate in place of Okta's."

const unknownAuthority = (asked: Asked): Words => [
  "Its certificate is signed by an authority that this machine does not know.",
  asked === "Okta"
    ? "If a company proxy is on the way, name its authority's certificate in NODE_EXTRA_CA_CERTS, for the server too."
    : "Serve the whole chain of certificates; for an authority of your own name its certificate in NODE_EXTRA_CA_CERTS."
]

/** What Node's codes mean at a host. */
const words = (code: string, host: string, asked: Asked): Words | undefined => {
  const okta = asked === "Okta"
  switch (code) {
    case "ENOTFOUND":
      return [
        `DNS knows no host ${host}.`,
        `Look for a slip in ${settings[asked]}; if the name is right, look at this machine's DNS.`
      ]
    case "EAI_AGAIN":
      return ["DNS does not answer.", "Look at this machine's network and its DNS server, then try again."]
    case "ECONNREFUSED":
      return [
        `Nobody listens at ${host}.`,
        starts[asked]
      ]
    case "ECONNRESET":
    case "EPIPE":
    case "UND_ERR_SOCKET":
      return [
        "The connection was cut before the answer was complete.",
        "Look for a firewall or proxy on the way that cuts it, then try again."
      ]
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "ENETDOWN":
      return [`There is no way from this machine to ${host}.`, "Look at its network, its routes and at firewalls."]
    case "ETIMEDOUT":
    case "UND_ERR_CONNECT_TIMEOUT":
    case "UND_ERR_HEADERS_TIMEOUT":
      return [
        `${asked.replace(/^t/, "T")} is too slow, or something on the way swallows the connection.`,
        "Look at firewalls on the way. " + (asked === "the upstream"
          ? "--timeout lets this command wait longer."
          : "The server waits 3 seconds; --timeout lets this command wait longer.")
      ]
    case "CERT_HAS_EXPIRED":
      return ["Its certificate has expired.", okta ? behindProxy : `Renew the certificate of ${host}.`]
    case "CERT_NOT_YET_VALID":
      return [
        "Its certificate is not valid yet.",
        okta ? behindProxy : "Compare this machine's clock with the real time."
      ]
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return [
        `Its certificate is for another host than ${host}.`,
        okta
          ? "Use the host that Okta shows; if it is right, something on the way answers in Okta's place."
          : `Give the server, or the reverse proxy before it, a certificate for ${host}.`
      ]
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
      return ["Its certificate is signed by itself, which proves nothing.", unknownAuthority(asked)[1]]
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
      return unknownAuthority(asked)
    default:
      return code.startsWith("ERR_SSL") || code === "EPROTO"
        ? [
          `What listens at ${host} does not speak TLS.`,
          "Look for a slip in the port, or for http: in place of https:."
        ]
        : undefined
  }
}

/** The place that Node has tried in place of the one asked for, by its own words: a proxy of the environment. */
const proxyIn = (reason: string, url: URL): string | undefined => {
  const [, host] = / (?:ENOTFOUND|EAI_AGAIN) ([^\s)]+)/.exec(reason) ?? []
  if (host !== undefined && host !== url.hostname) return host
  const [, place, port] = / ECONNREFUSED (\S+:(\d+))/.exec(reason) ?? []
  return port === portOf(url) ? undefined : place
}

const noProxy = (place: string): Words => [
  `The proxy of the environment is not there, at ${place}.`,
  "Look for a slip in HTTPS_PROXY or HTTP_PROXY, which NODE_USE_ENV_PROXY lets Node use."
]

/** No complete answer came. */
export const unreached = (url: string, { code, reason }: FetchFailed, asked: Asked): Trouble => {
  const place = new URL(url)
  const proxy = proxyIn(reason, place)
  const [meaning, mend] = proxy === undefined
    ? words(code ?? "", place.host, asked) ??
      [
        "No answer came that could be used.",
        `Look at what answers at this address: it does not behave like ${
          asked === "the upstream" ? "an HTTP server" : asked
        }.`
      ]
    : noProxy(proxy)
  const found = reason.replace(`${url} `, "")
  return {
    found: excerpt(code === undefined || found.includes(code) ? found : `${found}, ${code}`, 300),
    meaning,
    mend
  }
}

const OktaError = Schema.fromJsonString(Schema.Struct({ errorCode: Schema.String }))
const oktaCode = Schema.decodeUnknownOption(OktaError)

/** Whether a web page came. */
export const isPage = ({ headers, text }: Answer): boolean =>
  /\bhtml\b/i.test(headers["content-type"] ?? "") || /^\s*</.test(text)

/** Where a redirect leads, without its query. */
const target = ({ headers }: Answer): string =>
  excerpt(withoutUserinfo((headers["location"] ?? "nowhere").replace(/[?#].*$/s, "")))

/** When to try again, as a sentence. */
const again = Effect.fnUntraced(function*(wait: number | undefined) {
  if (wait === undefined) return "Wait a minute, then try again."
  const at = DateTime.makeUnsafe((yield* Clock.currentTimeMillis) + wait)
  return `Try again in ${Math.ceil(wait / 1000)} seconds, at ${DateTime.formatIso(at).slice(11, 19)} UTC.`
})

/** What an answer means that Okta gave in place of a document. */
export const refused = Effect.fnUntraced(function*(url: string, answer: Answer): Effect.fn.Return<Trouble> {
  const { status } = answer
  const { hostname, origin } = new URL(url)
  const code = Option.map(oktaCode(answer.text), ({ errorCode }) => excerpt(errorCode, 20))
  const found = Option.match(code, { onNone: () => `${status}`, onSome: (code) => `${status} ${code}` })
  if (status >= 300 && status < 400) {
    const leads = target(answer)
    const issuer = /^(https?:\/\/.+)\/\.well-known\/[^/]+$/.exec(leads)?.[1]
    return {
      found: `${status}, a redirect to ${leads}`,
      meaning: "Redirects are not followed, since what they lead to is not the issuer's own word.",
      mend: issuer === undefined || issuer.startsWith(`${origin}/.well-known`)
        ? "Set OKTA_ISSUER to the issuer that Okta shows under Security, API, Authorization Servers."
        : `If that is your Okta, set OKTA_ISSUER to ${issuer}`
    }
  }
  if (status === 429) {
    return { found, meaning: "Okta's rate limit is used up.", mend: yield* again(answer.retryAfter) }
  }
  if (status >= 500) {
    return {
      found,
      meaning: "Okta has trouble of its own, or what stands in front of it has.",
      mend: isLoopbackHost(hostname)
        ? "Look at its log, then try again."
        : "Look at https://status.okta.com, then try again."
    }
  }
  if (Option.contains(code, "E0000007")) {
    return {
      found,
      meaning: "Okta has no authorization server of this id.",
      mend:
        "Copy the Issuer URI from Security, API, Authorization Servers. An account without API Access Management has only " +
        `the org server, ${origin}`
    }
  }
  if (status === 404) {
    return {
      found,
      meaning: "There is nothing at this address, and the answer is not Okta's.",
      mend: "Look for a slip in the host of OKTA_ISSUER: it must be the one that Okta shows."
    }
  }
  if (status === 401 || status === 403) {
    return {
      found,
      meaning: "This machine is turned away.",
      mend: "Look at Okta's network zones (Security, Networks), and for a gateway on the way that demands credentials."
    }
  }
  if (isPage(answer)) {
    return {
      found: `${status}, a web page`,
      meaning:
        "Somebody else answers in Okta's place: a captive portal, a company proxy, or a host that is not Okta's.",
      mend: "Open the address in a browser on this machine and see who answers; Okta answers with JSON."
    }
  }
  return {
    found: status === 200 ? "200, something that is not JSON" : found,
    meaning: "That is not an answer of Okta's.",
    mend: "Open the address in a browser on this machine and see who answers."
  }
})

/** What this server answers in place of what it should. */
export const otherwise = (answer: Answer, url: string): Trouble => {
  const { headers, status } = answer
  const found = status !== 200 ? String(status) : isPage(answer) ? "200, a web page" : "200, something else"
  if (status >= 300 && status < 400) {
    return {
      found: `${status}, a redirect to ${excerpt((headers["location"] ?? "nowhere").replace(/[?#].*$/s, ""))}`,
      meaning: "Clients look at this very address.",
      mend:
        "Set SERVER_URL to the address that people use in the end, or let the reverse proxy answer without a redirect."
    }
  }
  if (status === 404) {
    return {
      found,
      meaning: "What answers at SERVER_URL serves nothing at this address.",
      mend: `Let the reverse proxy hand on ${
        new URL(url).pathname
      } with its path as it is, and mount OktaAuth.routes in an app of yours.`
    }
  }
  if (status === 502 || status === 503 || status === 504) {
    return {
      found,
      meaning: "The reverse proxy does not reach the server behind it.",
      mend: "Start the server, and compare its --host and PORT with what the reverse proxy expects."
    }
  }
  return {
    found,
    meaning: "Somebody else answers at SERVER_URL: another server, or a login page before it.",
    mend:
      "Let the reverse proxy hand on everything below SERVER_URL, /.well-known at its root, and ask for no login of its own."
  }
}
