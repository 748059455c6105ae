import { BaseSequencer, type TestSpecification } from "vitest/node"
import project from "../../vitest.config.ts"

/** The tests that are to notice what is changed in one file. */
const include = (process.env["MUTATION_TESTS"] ?? "").split(",")

/** In the order of the plan: what comes first notices most, and the first test that notices ends the run. */
class InOrder extends BaseSequencer {
  override async sort(files: Array<TestSpecification>) {
    const rank = ({ moduleId }: TestSpecification) => include.findIndex((path) => moduleId.endsWith(path))
    return files.toSorted((one, other) => rank(one) - rank(other))
  }
}

const preload = include.some((path) => path.startsWith("test/proxy/")) ? ["test/mutation/preload.ts"] : []

export default {
  ...project,
  test: {
    ...project.test,
    include,
    isolate: false,
    sequence: { sequencer: InOrder },
    setupFiles: [project.test?.setupFiles ?? [], preload].flat()
  }
}
