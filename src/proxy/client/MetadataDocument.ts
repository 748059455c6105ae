import { Predicate, Result } from "effect"
import type { Client } from "./Client.ts"
import type { ClientMetadata } from "./ClientMetadata.ts"
import { publicKeys, reader } from "./RegistrationRequest.ts"

/** The longest client id that is a URL, in characters. */
const longest = 1000

/** Whether a client id is meant to be the URL of a metadata document. */
export const isDocumentUrl = (clientId: string): boolean => clientId.startsWith("https://")

/** What is wrong with a client id that is a URL, in words that follow it, or `undefined` (section 3 of the draft). */
export const problem = (clientId: string): string | undefined => {
  if (clientId.length > longest) return `is longer than ${longest} characters`
  if (!URL.canParse(clientId)) return "is not a URL"
  const { hash, href, password, pathname, protocol, username } = new URL(clientId)
  if (protocol !== "https:") return "is not an https URL"
  if (`${username}${password}` !== "" || /^[^/]+\/\/[^/?#]*@/.test(clientId)) return "contains a user name or password"
  if (hash !== "" || clientId.includes("#")) return "has a fragment"
  if (pathname === "/") return "has no path"
  // Dot segments, upper case in the host and the like would be two spellings of one client.
  return href === clientId ? undefined : "is not written in its normal form"
}

/** Whether a host is among those that are allowed; `*.example.com` stands for every host below it. */
export const isAllowedHost = (hostname: string, allowed: ReadonlyArray<string> | undefined): boolean =>
  allowed === undefined ||
  allowed.some((host) => host.startsWith("*.") ? hostname.endsWith(host.slice(1)) : hostname === host)

/** What no document may hold: a secret that the whole world can read proves nothing. */
const secrets = ["client_secret", "client_secret_expires_at"]

/**
 * Reads the metadata document of a client, by the rules for registered ones. `listed` holds the redirect URIs that the owner of
 * this server has allowed besides.
 *
 * @see https://datatracker.ietf.org/doc/draft-ietf-oauth-client-id-metadata-document/
 */
export const documentReader = (listed: ReadonlyArray<string>) => {
  const read = reader(listed, { defaultMethod: "none", fetchesKeys: true })
  return (clientId: string, document: unknown): Result.Result<Client, string> => {
    if (!Predicate.isObject(document) || Array.isArray(document)) return Result.fail("it is not a JSON object")
    if (!Predicate.hasProperty(document, "client_id") || document.client_id !== clientId) {
      return Result.fail("its client_id is not its own URL")
    }
    if (secrets.some((member) => Predicate.hasProperty(document, member))) return Result.fail("it holds a secret")
    return Result.mapBoth(read(document), {
      onFailure: ({ message }) => message.replace(/\.$/, ""),
      onSuccess: (metadata): Client => ({ clientId, origin: "document", metadata })
    }).pipe(
      Result.filterOrFail(
        ({ metadata: { token_endpoint_auth_method: method } }) => method === "none" || method === "private_key_jwt",
        () => "its token_endpoint_auth_method is neither none nor private_key_jwt"
      )
    )
  }
}

/** Reads the keys that a document's `jwks_uri` leads to: the public, strong ones for signatures. */
export const readKeys = (_url: string, document: unknown): Result.Result<NonNullable<ClientMetadata["jwks"]>, string> =>
  Result.fromNullishOr(publicKeys(document)?.jwks, () => "it holds no public, strong key for signatures")
