import { monitorEventLoopDelay } from "node:perf_hooks"
import { type Contestant, limits, verifiers } from "./contestants.ts"
import { type Issuer, received, type SigningAlgorithm } from "./issuer.ts"

/** What is asked of the contestants. */
export interface Scene {
  readonly algorithm: SigningAlgorithm
  readonly callers: number
  /** Tokens that were verified before, rather than ones never seen. */
  readonly repeated: boolean
  readonly rounds: number
}

/** What a contestant did in a scene. */
export interface Measured {
  readonly name: string
  /** Microseconds for a token, round by round. */
  readonly micros: ReadonlyArray<number>
}

/** The value in the middle. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** How many times as fast `a` is as `b`: the median of the rounds' ratios, so that a slow spell hits both alike. */
export const timesAsFast = (a: Measured, b: Measured): number =>
  median(a.micros.map((micros, round) => b.micros[round]! / micros))

const warmUp = 500

/** How many tokens take turns in a scene of repeated ones, as many as users who are active at once. */
const repeatedTokens = 100

const contestantsIn = ({ algorithm, repeated }: Scene): ReadonlyArray<Contestant> =>
  (repeated ? verifiers : [...verifiers, ...limits]).filter(({ algorithms }) => algorithms.includes(algorithm))

/** Lets the contestants take turns, another one beginning in each round; the first two rounds do not count. */
export const measure = async (
  issuer: Issuer,
  tokens: ReadonlyArray<Buffer>,
  scene: Scene
): Promise<ReadonlyArray<Measured>> => {
  const table = contestantsIn(scene).map((contestant) => ({ contestant, micros: new Array<number>() }))
  for (let round = -2; round < scene.rounds; round++) {
    for (let i = 0; i < table.length; i++) {
      const { contestant, micros } = table[(i + round + 2) % table.length]!
      const made = await contestant.make(issuer, scene.algorithm)
      made.prepare?.(tokens)
      // The first tokens make the keys known and the engine ready; the others stay unseen.
      await made.run(tokens.slice(0, warmUp), scene.callers)
      const asked = scene.repeated ? tokens.map((_, i) => tokens[i % repeatedTokens]!) : tokens.slice(warmUp)
      if (scene.repeated) await made.run(asked, scene.callers)
      await new Promise(setImmediate)
      const start = performance.now()
      await made.run(asked, scene.callers)
      if (round >= 0) micros.push((performance.now() - start) * 1000 / asked.length)
      await made.close?.()
    }
  }
  return table.map(({ contestant, micros }) => ({ name: contestant.name, micros }))
}

/**
 * For how long 32 callers hold up everything else: the 99th percentile of the time between two turns of a timer of 1 ms,
 * in milliseconds, by contestant.
 */
export const loopDelays = async (issuer: Issuer, tokens: ReadonlyArray<Buffer>, algorithm: SigningAlgorithm) => {
  const delays = new Map<string, number>()
  for (const contestant of contestantsIn({ algorithm, callers: 32, repeated: false, rounds: 1 })) {
    const made = await contestant.make(issuer, algorithm)
    made.prepare?.(tokens)
    await made.run(tokens.slice(0, warmUp), 32)
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    await pause(3)
    await made.run(tokens.slice(warmUp), 32)
    await pause(3)
    delay.disable()
    delays.set(contestant.name, delay.percentile(99) / 1e6)
    await made.close?.()
  }
  return delays
}

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

/** A contestant that accepts a token with a broken signature measures nothing. */
export const mustRefuse = async (issuer: Issuer, algorithm: SigningAlgorithm) => {
  const [token] = issuer.tokens(algorithm, 1)
  const broken = Buffer.from(token!)
  const letter = broken.lastIndexOf(".") + 10
  broken[letter] = received(broken)[letter] === "A" ? 0x42 : 0x41
  for (const contestant of contestantsIn({ algorithm, callers: 1, repeated: false, rounds: 1 })) {
    const made = await contestant.make(issuer, algorithm)
    made.prepare?.([token!, broken])
    await made.run([token!], 1)
    const accepted = await made.run([broken], 1).then(() => true, () => false)
    await made.close?.()
    if (accepted) throw new Error(`${contestant.name} accepts a broken signature.`)
  }
}
