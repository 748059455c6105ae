import { Clock, type Duration, Effect, type Scope } from "effect"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { gzipSync } from "node:zlib"

/** What becomes of a request on its way. */
export type RelayFault =
  /** It is taken, and nothing comes. */
  | { readonly kind: "silent" }
  /** It goes on after a while of the test's clock. */
  | { readonly kind: "slow"; readonly delay: Duration.Input }
  /** Headers come, and then a space each millisecond. */
  | { readonly kind: "trickle"; readonly status?: number }
  /** The connection is reset. */
  | { readonly kind: "reset" }
  /** The answer comes, and the clock in it (`Date`) is ahead of the test's, in milliseconds. */
  | { readonly kind: "clock"; readonly ahead: number }
  /** These bytes come in place of an answer, and then the end, unless it is kept open. */
  | { readonly kind: "bytes"; readonly bytes: string | Buffer; readonly keptOpen?: boolean }
  /** 200 MB come. */
  | { readonly kind: "huge"; readonly packed?: boolean }

/** An answer, as the bytes that it is. */
export const answering = (
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = { "content-type": "application/json" }
): RelayFault => ({
  kind: "bytes",
  bytes: [
    `HTTP/1.1 ${status} Anything`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
    "",
    body
  ].join("\r\n")
})

/** A TCP relay on loopback between a server and those who ask it: whatever can happen on the way happens here. */
export interface Relay {
  /** Where it listens, as an HTTP origin. */
  readonly origin: string
  /** Leads to this server from now on; gives its own origin. */
  readonly to: (server: string) => string
  /** Fails requests, of those paths only that it is for, until `mend`. */
  readonly fail: (fault: RelayFault, isFor?: (path: string) => boolean) => void
  readonly mend: () => void
  /** Refuses connections. */
  readonly leave: Effect.Effect<void>
  readonly comeBack: Effect.Effect<void>
  /** Requests that it has taken, and to which nothing has come yet because that is the fault. */
  readonly held: () => number
}

const megabyte = Buffer.alloc(1024 * 1024, " ")
let packed: Buffer | undefined

/** Listens until the scope ends. */
export const make: Effect.Effect<Relay, never, Scope.Scope> = Effect.gen(function*() {
  const clock = yield* Clock.Clock
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const sockets = new Set<Socket>()
  const holding = new Set<Socket>()
  let target = 0
  let fault: { readonly is: RelayFault; readonly isFor: (path: string) => boolean } | undefined

  const keep = (socket: Socket) => {
    sockets.add(socket)
    socket.on("error", () => {}).on("close", () => {
      sockets.delete(socket)
      holding.delete(socket)
    })
    return socket
  }

  /** Each request on a connection of its own, so that the next one is seen too. */
  const pass = (socket: Socket, head: Buffer, ahead = 0) => {
    holding.delete(socket)
    const end = head.indexOf("\r\n\r\n")
    const lines = head.subarray(0, end).toString("latin1").replace(/\r\nconnection: [^\r]*/i, "")
    const onward = keep(connect(target, "127.0.0.1"))
    onward.on("close", (isBroken) => isBroken ? socket.destroy() : socket.end())
    socket.on("close", () => onward.destroy())
    onward.write(`${lines}\r\nconnection: close`, "latin1")
    onward.write(head.subarray(end))
    socket.pipe(onward)
    if (ahead === 0) return void onward.pipe(socket)
    onward.on("data", (chunk: Buffer) => {
      const date = new Date(clock.currentTimeMillisUnsafe() + ahead).toUTCString()
      socket.write(chunk.toString("latin1").replace(/\r\ndate: [^\r]*/i, `\r\ndate: ${date}`), "latin1")
    }).on("end", () => socket.end())
  }

  const flood = (socket: Socket) => {
    socket.write("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n")
    let left = 200
    const more = () => {
      while (left-- > 0 && !socket.destroyed) {
        if (!socket.write(megabyte)) return void socket.once("drain", more)
      }
      socket.end()
    }
    more()
  }

  const failWith = (socket: Socket, head: Buffer, is: RelayFault) => {
    switch (is.kind) {
      case "silent":
        return void holding.add(socket)
      case "slow":
        holding.add(socket)
        return void run(
          Effect.andThen(
            Effect.sleep(is.delay),
            Effect.sync(() => socket.destroyed ? undefined : pass(socket, head))
          )
        )
      case "clock":
        return pass(socket, head, is.ahead)
      case "reset":
        return void socket.resetAndDestroy()
      case "trickle": {
        socket.write(
          `HTTP/1.1 ${is.status ?? 200} Anything\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n`
        )
        const drip = setInterval(() => socket.write(" "), 1)
        return void socket.once("close", () => clearInterval(drip))
      }
      case "bytes":
        socket.resume().write(is.bytes)
        return is.keptOpen === true ? undefined : void socket.end()
      case "huge":
        if (is.packed !== true) return flood(socket.resume())
        packed ??= gzipSync(Buffer.alloc(200 * megabyte.length, " "))
        socket.resume().end(Buffer.concat([
          Buffer.from(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n"
          ),
          packed
        ]))
    }
  }

  const server = createServer((socket) => {
    keep(socket)
    let head = Buffer.alloc(0)
    const read = (chunk: Buffer) => {
      head = Buffer.concat([head, chunk])
      if (!head.includes("\r\n\r\n")) return
      socket.off("data", read).pause()
      const path = head.toString("latin1").split(" ", 2)[1] ?? ""
      return fault?.isFor(path) === true ? failWith(socket, head, fault.is) : pass(socket, head)
    }
    socket.on("data", read)
  })
  const listen = (port: number) =>
    Effect.callback<void>((resume) => void server.listen(port, "127.0.0.1", () => resume(Effect.void)))
  const leave = Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    for (const socket of sockets) socket.destroy()
  })
  yield* Effect.acquireRelease(listen(0), () => leave)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on TCP
  const { port } = server.address() as AddressInfo

  // By a name, so that it can fail to be found.
  const origin = `http://localhost:${port}`
  return {
    origin,
    to: (server) => {
      target = Number(new URL(server).port)
      return origin
    },
    fail: (is, isFor = () => true) => {
      fault = { is, isFor }
    },
    mend: () => {
      fault = undefined
    },
    leave,
    comeBack: Effect.suspend(() => server.listening ? Effect.void : listen(port)),
    held: () => holding.size
  }
})
