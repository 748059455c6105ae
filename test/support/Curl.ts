import { Effect } from "effect"
import { execFile } from "node:child_process"
import { exchange } from "../cli/Serving.ts"
import { findCurl } from "../programs.ts"

/** What `curl` is told: `-H`, and `-X POST -d`. */
export interface Curl {
  readonly headers?: Readonly<Record<string, string>>
  readonly data?: string
}

const program = findCurl()

/** What `curl` prints, with the status of the answer; without the program, by the request that it would send. */
export const curl = Effect.fnUntraced(function*(url: string, { data, headers = {} }: Curl = {}) {
  if (program === undefined) {
    const answer = yield* exchange(url, {
      headers: { "user-agent": "curl/8.14.1", accept: "*/*", ...headers },
      ...(data === undefined ? undefined : { method: "POST", body: data })
    })
    return { status: answer.status, location: answer.headers.location ?? "", body: answer.body.toString("utf8") }
  }
  const args = [
    ...Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]),
    ...(data === undefined ? [] : ["-X", "POST", "-d", data])
  ]
  const printed = yield* Effect.callback<string>((resume) => {
    const child = execFile(
      program,
      ["-q", "-sS", "-w", "\n%{http_code} %header{location}", ...args, url],
      (error, stdout) => resume(error === null ? Effect.succeed(stdout) : Effect.die(error))
    )
    return Effect.sync(() => void child.kill())
  })
  const [, body = "", status, location = ""] = /^([^]*)\n(\d{3}) (.*)$/.exec(printed) ?? []
  return { status: Number(status), location, body }
})
