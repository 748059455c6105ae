import { NodeServices } from "@effect/platform-node"
import { Context, Effect, Layer } from "effect"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { Store } from "../../src/store/Store.ts"
import { folder } from "../support/Program.ts"

/** A new and empty folder, removed with the scope. */
export const newFolder = folder({}).pipe(Effect.provide(NodeServices.layer), Effect.orDie)

/** Path of a file that does not exist yet, in a new folder. */
export const newFile = Effect.map(newFolder, (path) => `${path}/store.sqlite`)

/** The file's store, as a server of its own has it; closed with the scope. */
export const open = (file: string) => Effect.map(Layer.build(SqliteStore.layer({ file })), Context.get(Store))

/** Uses the file's store, and closes it again. */
export const using = <A, E>(file: string, use: (store: Store["Service"]) => Effect.Effect<A, E>) =>
  Effect.scoped(Effect.flatMap(open(file), use))
