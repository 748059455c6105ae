import { Effect, type Scope } from "effect"
import type { IncomingMessage, ServerResponse } from "node:http"
import { type Endpoint, oktaError, type Paths } from "../../src/demo/StandInMetadata.ts"
import { type Answer, sendJson } from "../../src/demo/StandInProvider.ts"
import * as StandInServer from "../../src/demo/StandInServer.ts"

/** Answers in place of the usual handler, which it can leave it to. */
export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  usual: () => Promise<void> | void
) => Promise<void> | void

/** How Okta is away: drops the connection, answers 503, or takes the request and never answers. */
export type Outage = "refuse" | "error" | "hang"

/** The HTTP server in front of everything: it counts the requests, and fails them when a test says so. */
export class Door {
  readonly origin: string
  readonly #asked = new Map<Endpoint, number>()
  readonly #overrides = new Map<Endpoint, Handler>()
  readonly #hanging = new Set<ServerResponse>()
  #outage: Outage | undefined
  #find: Paths["find"] = () => "other"
  #usual: Answer = (_, response) => void response.destroy()

  constructor(origin: string) {
    this.origin = origin
  }

  /** The server listens before its handler can be made, because the issuer contains the port. */
  open(paths: Paths, usual: Answer): void {
    this.#find = paths.find
    this.#usual = usual
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const endpoint = this.#find(new URL(request.url ?? "/", this.origin).pathname)
    this.#asked.set(endpoint, this.requests(endpoint) + 1)
    switch (this.#outage) {
      case "refuse":
        return void response.destroy()
      case "error":
        return sendJson(response, 503, oktaError("E0000009", "Internal Server Error"))
      case "hang":
        return void this.#hanging.add(response)
      case undefined: {
        const usual = () => this.#usual(request, response)
        const override = this.#overrides.get(endpoint)
        return override === undefined ? usual() : override(request, response, usual)
      }
    }
  }

  requests(endpoint: Endpoint | undefined): number {
    return endpoint === undefined
      ? [...this.#asked.values()].reduce((sum, times) => sum + times, 0)
      : this.#asked.get(endpoint) ?? 0
  }

  respond(endpoint: Endpoint, handler: Handler): void {
    this.#overrides.set(endpoint, handler)
  }

  fail(kind: Outage): void {
    this.#outage = kind
  }

  lift(): void {
    this.#outage = undefined
    this.#overrides.clear()
    for (const response of this.#hanging) response.destroy()
    this.#hanging.clear()
  }
}

/** Listens on 127.0.0.1 until the scope closes. */
export const listen = (port: number): Effect.Effect<Door, never, Scope.Scope> =>
  Effect.map(Effect.orDie(StandInServer.listen(port)), ({ open, origin }) => {
    const door = new Door(origin)
    open((request, response) => door.handle(request, response))
    return door
  })
