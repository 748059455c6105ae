import { collect } from "../support/Garbage.ts"

/** What is in use, in MB, when everything that nobody needs has gone. */
const live = (): number => {
  collect()
  const { external, heapUsed } = process.memoryUsage()
  return (heapUsed + external) / 1024 / 1024
}

/** Watches what is in use from now on. */
export const watch = () => {
  const before = live()
  let most = before
  return {
    sample: () => {
      most = Math.max(most, live())
    },
    /** How much more it has been at the most, in MB. */
    growth: () => most - before
  }
}
