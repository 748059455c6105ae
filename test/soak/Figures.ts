import { createHistogram } from "node:perf_hooks"
import type { Sample } from "./server.ts"

/** What must be 0. */
export type Fault = "wrong verdicts" | "false sign-outs" | "unexpected statuses" | "unclean ends"

const faults: ReadonlyArray<Fault> = ["wrong verdicts", "false sign-outs", "unexpected statuses", "unclean ends"]

/** Counts what happens under load. */
export class Figures {
  readonly #histogram = createHistogram()
  readonly #counts = new Map<string, number>()
  readonly #faults = new Map<Fault, Array<string>>()

  answered(milliseconds: number): void {
    this.#histogram.record(Math.max(1, Math.round(milliseconds * 1000)))
  }

  count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1)
  }

  fault(fault: Fault, detail: string): void {
    const details = this.#faults.get(fault) ?? []
    details.push(detail)
    this.#faults.set(fault, details)
    if (details.length <= 10) console.error(`${fault}: ${detail}`)
  }

  get isFaultless(): boolean {
    return this.#faults.size === 0
  }

  get requests(): number {
    return this.#histogram.count
  }

  summary(seconds: number) {
    const { requests } = this
    return {
      minutes: round(seconds / 60),
      requests,
      "requests a second": round(requests / seconds),
      "p50 in ms": round(this.#histogram.percentile(50) / 1000),
      "p99 in ms": round(this.#histogram.percentile(99) / 1000),
      ...Object.fromEntries([...this.#counts].sort(([a], [b]) => a < b ? -1 : 1)),
      ...Object.fromEntries(faults.map((fault) => [fault, this.#faults.get(fault)?.length ?? 0]))
    }
  }
}

export const round = (value: number): number => Math.round(value * 100) / 100

/** By how many MB a minute what is in use grows, once it is warm: the line through what was left after each collection. */
export const heapSlope = (samples: ReadonlyArray<Sample>): number => {
  const [first] = samples
  if (first === undefined) return Number.NaN
  const warm = Math.min(120_000, (samples.at(-1)?.at ?? 0) - first.at) / 3
  const points = samples
    .filter(({ at, collected }) => collected && at - first.at > warm)
    .map(({ at, heap }) => ({ x: at / 60_000, y: heap }))
  const mean = (numbers: ReadonlyArray<number>) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length
  const [x, y] = [mean(points.map(({ x }) => x)), mean(points.map(({ y }) => y))]
  const spread = points.reduce((sum, point) => sum + (point.x - x) ** 2, 0)
  return points.reduce((sum, point) => sum + (point.x - x) * (point.y - y), 0) / spread
}
