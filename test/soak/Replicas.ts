import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { fileURLToPath } from "node:url"
import type { Replica } from "./server.ts"

const program = fileURLToPath(new URL("server.ts", import.meta.url))

/** An address in front of servers, which gives each connection to the next of them that is up. */
export class Front {
  readonly targets = new Set<number>()
  #turn = 0
  readonly #sockets = new Set<Socket>()
  readonly #server = createServer((socket) => {
    const targets = [...this.targets]
    const port = targets[this.#turn++ % Math.max(1, targets.length)]
    if (port === undefined) return void socket.destroy()
    const onward = connect(port, "127.0.0.1")
    for (const [one, other] of [[socket, onward], [onward, socket]] as const) {
      this.#sockets.add(one)
      one.on("error", () => other.destroy()).on("close", () => {
        this.#sockets.delete(one)
        other.destroy()
      }).pipe(other)
    }
  })

  async listen(): Promise<number> {
    this.#server.listen(0, "127.0.0.1")
    await once(this.#server, "listening")
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on TCP
    return (this.#server.address() as AddressInfo).port
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }
}

export const freePort = async (): Promise<number> => {
  const front = new Front()
  const port = await front.listen()
  front.close()
  return port
}

/** A replica in a process of its own, which can be ended in two ways and started again. */
export class Process {
  #child: ChildProcess | undefined
  readonly #replica: Replica
  readonly #fronts: { readonly proxy: Front; readonly native: Front }

  constructor(replica: Replica, fronts: { readonly proxy: Front; readonly native: Front }) {
    this.#replica = replica
    this.#fronts = fronts
  }

  /** Ready to be asked. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, [program], {
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, SOAK_REPLICA: JSON.stringify(this.#replica), NO_COLOR: "1" }
    })
    this.#child = child
    const { native, proxy } = this.#replica.ports
    for (const port of [proxy, native]) {
      const isReady = () =>
        fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(1000) }).then(
          ({ ok }) => ok,
          () => false
        )
      while (!(await isReady())) {
        if (child.exitCode !== null) throw new Error(`a replica ended with ${child.exitCode} before it was ready`)
        await new Promise((resume) => setTimeout(resume, 100))
      }
    }
    this.#fronts.proxy.targets.add(proxy)
    this.#fronts.native.targets.add(native)
  }

  /** Gives its exit code, none when it was killed. A balancer takes out what is about to stop; of what dies it learns then. */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<number | null> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return null
    const gone = once(child, "close")
    const takeOut = () => {
      this.#fronts.proxy.targets.delete(this.#replica.ports.proxy)
      this.#fronts.native.targets.delete(this.#replica.ports.native)
    }
    if (signal === "SIGTERM") takeOut()
    child.kill(signal)
    await gone
    takeOut()
    return child.exitCode
  }
}
