import { Context, Duration, Effect, Layer, Schema } from "effect"
import { lookup } from "node:dns"
import type { IncomingMessage } from "node:http"
import { request } from "node:https"
import { traced } from "../../observe/Span.ts"
import { documents, outcomeOf, timed } from "../../observe/Telemetry.ts"
import * as StrictJson from "../../token/StrictJson.ts"
import { addressOf, isPublic } from "./PublicAddress.ts"

/** What a server answered is no document, and will be none when it is asked again. */
export class DocumentRefused extends Schema.TaggedError<DocumentRefused>()("DocumentRefused", {
  url: Schema.String,
  /** What is wrong with it; nothing of what it holds. */
  reason: Schema.String
}) {
  override get message() {
    return `The document at ${this.url} was refused: ${this.reason}.`
  }
}

/** A document could not be fetched now; there may be one later. */
export class DocumentUnavailable extends Schema.TaggedError<DocumentUnavailable>()("DocumentUnavailable", {
  url: Schema.String,
  reason: Schema.String,
  /** Whether its server was given less than its time, because others were being fetched. */
  hurried: Schema.optionalKey(Schema.Boolean)
}) {
  override get message() {
    return `The document at ${this.url} could not be fetched: ${this.reason}.`
  }
}

/** A JSON document, and for how long it is good. */
export interface FetchedDocument {
  readonly json: unknown
  /** From `Cache-Control`: in seconds; none where it does not say, and 0 where it must not be kept. */
  readonly maxAge: number | undefined
}

/** Where a name leads to. */
export interface Address {
  readonly address: string
  readonly family: number
}

/** The network as it is seen from here. */
export interface Network {
  /** Every address of a host. */
  readonly resolve: (host: string) => Effect.Effect<ReadonlyArray<Address>, string>
  /** Whether a document may be fetched from an address. */
  readonly isAllowed: (address: string) => boolean
  /** Certificates to be trusted in place of the usual ones, as PEM. */
  readonly authorities?: string | undefined
}

const publicNetwork: Network = {
  resolve: (host) =>
    Effect.callback((resume) => {
      lookup(host, { all: true, verbatim: true }, (error, addresses) => {
        resume(error === null ? Effect.succeed(addresses) : Effect.fail(error.code ?? "the name cannot be resolved"))
      })
    }),
  isAllowed: isPublic
}

/**
 * The network from which documents are fetched: the public one, unless a test says otherwise.
 */
export const DocumentNetwork = Context.Reference<Network>("effect-okta/proxy/client/DocumentNetwork", {
  defaultValue: () => publicNetwork
})

const deadline = Duration.seconds(10)

/** The largest document, in bytes (Client ID Metadata Document section 6.6). */
const largest = 5 * 1024

/**
 * Fetches JSON from places that anybody may name, as little as can be learnt or done by it: over https, from a public address,
 * which is checked before the connection is made and is the one connected to; no redirects, 5 KiB, 10 seconds in all.
 *
 * @see https://datatracker.ietf.org/doc/draft-ietf-oauth-client-id-metadata-document/
 */
export class DocumentFetch extends Context.Service<DocumentFetch, {
  /** The JSON at an https URL. */
  readonly getJson: (url: string) => Effect.Effect<FetchedDocument, DocumentRefused | DocumentUnavailable>
}>()("effect-okta/proxy/client/DocumentFetch") {
  static readonly layer: Layer.Layer<DocumentFetch> = Layer.effect(
    DocumentFetch,
    Effect.map(DocumentNetwork, (network) =>
      DocumentFetch.of({
        getJson: (url) =>
          get(network, url).pipe(
            Effect.timeoutOrElse({
              duration: deadline,
              orElse: () =>
                Effect.fail(new DocumentUnavailable({ url, reason: "there was no answer within 10 seconds" }))
            }),
            (self) => timed(self, (exit) => documents.of({ outcome: outcomeOf(exit) })),
            (self) => traced(self, "okta.document", { attributes: { "server.address": new URL(url).hostname } })
          )
      }))
  )
}

const get = Effect.fnUntraced(function*(network: Network, url: string) {
  const { hostname, protocol } = new URL(url)
  const refused = (reason: string) => new DocumentRefused({ url, reason })
  if (protocol !== "https:") return yield* refused("it is not at an https URL")
  const literal = addressOf(hostname)
  const addresses = literal === undefined
    ? yield* Effect.mapError(
      network.resolve(hostname),
      (reason) => new DocumentUnavailable({ url, reason: `its host cannot be found (${reason})` })
    )
    : [literal]
  const [address] = addresses
  // Of a name that leads to both kinds, nobody can tell which one is meant.
  if (address === undefined || !addresses.every(({ address }) => network.isAllowed(address))) {
    return yield* refused("its host is not at a public address")
  }
  return yield* getFrom(network, url, address)
})

const getFrom = (network: Network, url: string, { address, family }: Address) =>
  Effect.callback<FetchedDocument, DocumentRefused | DocumentUnavailable>((resume) => {
    const refuse = (reason: string) => resume(Effect.fail(new DocumentRefused({ url, reason })))
    const unavailable = (reason: string) => resume(Effect.fail(new DocumentUnavailable({ url, reason })))
    const sent = request(url, {
      agent: false,
      headers: { accept: "application/json", "accept-encoding": "identity" },
      maxHeaderSize: 8192,
      // The address that was checked, however the name may be answered by now.
      lookup: (_host, { all }, callback) =>
        all === true ? callback(null, [{ address, family }]) : callback(null, address, family),
      ...(network.authorities === undefined ? undefined : { ca: network.authorities })
    })
    sent.on("error", (error) => unavailable("code" in error ? String(error.code) : error.message))
    sent.on("response", (response) => {
      const wrong = problemOf(response)
      if (wrong !== undefined) {
        sent.destroy()
        return wrong.passing ? unavailable(wrong.reason) : refuse(wrong.reason)
      }
      const chunks: Array<Buffer> = []
      let length = 0
      response.on("data", (chunk: Buffer) => {
        length += chunk.length
        chunks.push(chunk)
        if (length > largest) {
          sent.destroy()
          refuse(`it is larger than ${largest} bytes`)
        }
      })
      response.on("end", () => {
        const json = StrictJson.parse(Buffer.concat(chunks))
        if (json === undefined) return refuse("it is not JSON")
        resume(Effect.succeed({ json, maxAge: maxAgeOf(response.headers["cache-control"]) }))
      })
      response.on("error", ({ message }) => unavailable(message))
    })
    sent.end()
    return Effect.sync(() => void sent.destroy())
  })

const problemOf = (
  { headers, statusCode = 0 }: IncomingMessage
): { readonly reason: string; readonly passing: boolean } | undefined => {
  if (statusCode !== 200) {
    return {
      reason: `it was answered ${statusCode}`,
      passing: statusCode >= 500 || statusCode === 429 || statusCode === 408
    }
  }
  if (!/^application\/(?:json|[\w.-]+\+json)\s*(?:;|$)/i.test(headers["content-type"] ?? "")) {
    return { reason: "its content type is not JSON", passing: false }
  }
  if (headers["content-encoding"] !== undefined) return { reason: "it is compressed", passing: false }
  return Number(headers["content-length"] ?? 0) > largest
    ? { reason: `it is larger than ${largest} bytes`, passing: false }
    : undefined
}

/** For how long a document is good, in seconds (RFC 9111 section 5.2.2). */
const maxAgeOf = (cacheControl = ""): number | undefined => {
  if (/\bno-(?:store|cache)\b/i.test(cacheControl)) return 0
  const [, age] = /\bmax-age=(\d{1,9})\b/i.exec(cacheControl) ?? []
  return age === undefined ? undefined : Number(age)
}
