import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

setFlagsFromString("--expose-gc")
const gc: unknown = runInNewContext("gc")

/** Has everything go that nobody needs. */
export const collect = (): void => {
  if (typeof gc !== "function") throw new Error("the garbage cannot be collected")
  gc()
}
