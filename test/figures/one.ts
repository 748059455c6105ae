/** Measures one of the figures and prints it as JSON: `node test/figures/one.ts NAME PART`. */
import { Effect } from "effect"
import { figures } from "./figures.ts"

const [name = "", part = "1"] = process.argv.slice(2)
const run = figures[name]
if (run === undefined) throw new Error(`There is no figure called ${name}: ${Object.keys(figures).join(", ")}`)
const rejections: Array<unknown> = []
process.on("unhandledRejection", (reason) => rejections.push(reason))
const measured = await Effect.runPromise(Effect.scoped(run(Number(part))))
if (rejections.length > 0) throw new Error(`${rejections.length} rejections were not handled`)
console.log(JSON.stringify(measured.map((figure) => ({ ...figure, value: String(figure.value) }))))
process.exit()
