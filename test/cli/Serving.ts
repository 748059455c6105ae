import { ConfigProvider, Console, Effect, Layer, type Scope } from "effect"
import { createServer, type IncomingMessage, request as httpRequest, type RequestListener } from "node:http"
import { connect, createServer as createTcpServer } from "node:net"
import { Readable } from "node:stream"
import * as Serve from "../../src/cli/serve.ts"
import { listening } from "../support/Listening.ts"
import type { OktaStandIn } from "../support/OktaStandIn.ts"

/** What Node's `http.request` sends, path and headers as they are given. */
export interface Sent {
  readonly method?: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string | Array<string>>>
  readonly body?: string | Readable
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage["headers"]
  readonly rawHeaders: ReadonlyArray<string>
  readonly body: Buffer
}

/** A server of Node's until the scope closes: its URL. */
export const httpServer = (handler: RequestListener): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(listening(createServer(handler)), urlOf)

const urlOf = (port: number) => `http://127.0.0.1:${port}`

/** An address that is known before the server behind it listens; connections go to wherever `target` says by then. */
export const front = (target: () => string): Effect.Effect<string, never, Scope.Scope> => {
  const sockets = new Set<{ readonly destroy: () => void }>()
  const server = createTcpServer((socket) => {
    const { hostname, port } = new URL(target())
    const onward = connect(Number(port), hostname)
    for (const [one, other] of [[socket, onward], [onward, socket]] as const) {
      sockets.add(one)
      one.on("error", () => other.destroy()).on("close", () => {
        sockets.delete(one)
        other.destroy()
      }).pipe(other)
    }
  })
  return Effect.map(
    Effect.acquireRelease(listening(server), () => Effect.sync(() => sockets.forEach((socket) => socket.destroy()))),
    urlOf
  )
}

/** A proxy of a company, which is told where to connect to: its URL. */
export const tunnel = (onTarget: (target: string) => void): Effect.Effect<string, never, Scope.Scope> => {
  const server = createServer().on("connect", ({ url = "" }, socket) => {
    onTarget(url)
    const { hostname, port } = new URL(`http://${url}`)
    const onward = connect(Number(port), hostname, () => socket.write("HTTP/1.1 200 OK\r\n\r\n"))
    for (const [one, other] of [[socket, onward], [onward, socket]] as const) {
      one.on("error", () => other.destroy()).on("close", () => other.destroy()).pipe(other)
    }
  })
  return Effect.map(listening(server), urlOf)
}

/** `effect-okta serve` inside the test, guarded by the stand-in, until the scope closes: the URL that it prints. */
export const serve = Effect.fnUntraced(function*(
  okta: OktaStandIn["Service"],
  options: Partial<Serve.ServeOptions> = {},
  environment: Readonly<Record<string, string>> = {}
) {
  const lines: Array<string> = []
  const settings = ConfigProvider.fromUnknown({
    OKTA_ISSUER: okta.issuer,
    OKTA_AUDIENCE: okta.audience,
    PORT: "0",
    ...environment
  })
  const server = Serve.layer({
    path: "/mcp",
    host: "127.0.0.1",
    timeout: "60 seconds",
    allowedOrigins: [],
    json: false,
    ...options
  })
  yield* Layer.build(Layer.provide(server, ConfigProvider.layer(settings))).pipe(
    Effect.provideService(Console.Console, { ...globalThis.console, log: (line: string) => void lines.push(line) })
  )
  const url = /^Listening on (\S+), /m.exec(lines.join("\n"))?.[1]
  return url ?? (yield* Effect.die(new Error(`It printed: ${lines.join("\n")}`)))
})

/** Begins a request; the answer's body is not read. The connection is cut with the scope. */
export const begin = (url: string, { body, headers = {}, method = "GET", path }: Sent) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const { hostname, pathname, port, search } = new URL(url)
      const sent = httpRequest({
        hostname,
        port,
        method,
        path: path ?? pathname + search,
        headers,
        agent: false,
        setDefaultHeaders: true
      })
      const answer = new Promise<IncomingMessage>((resolve, reject) => {
        sent.on("response", (response) => resolve(response.on("error", () => {}))).on("error", reject)
        sent.on("upgrade", () => reject(new Error("the connection was upgraded")))
      })
      answer.catch(() => {})
      if (body instanceof Readable) body.pipe(sent)
      else sent.end(body)
      return { sent, answer: Effect.promise(() => answer) }
    }),
    ({ sent }) => Effect.sync(() => sent.destroy())
  )

/** A whole exchange. */
export const exchange = (url: string, what: Sent = {}): Effect.Effect<Answer> =>
  begin(url, what).pipe(
    Effect.flatMap(({ answer }) => answer),
    Effect.flatMap((response) =>
      Effect.promise(async () => {
        const chunks: Array<Buffer> = []
        for await (const chunk of response) chunks.push(chunk)
        const { headers, rawHeaders, statusCode = 0 } = response
        return { status: statusCode, headers, rawHeaders, body: Buffer.concat(chunks) }
      })
    ),
    Effect.scoped
  )

/** Something that happens once, to be waited for. */
export const once = <A = void>() => {
  const { promise, resolve } = Promise.withResolvers<A>()
  return { happens: resolve, happened: Effect.promise(() => promise) }
}
