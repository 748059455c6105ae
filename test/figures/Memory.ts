import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

const collect = (): void => {
  setFlagsFromString("--expose-gc")
  const gc: unknown = runInNewContext("gc")
  if (typeof gc !== "function") throw new Error("the garbage cannot be collected")
  gc()
}

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
