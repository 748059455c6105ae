import project from "../../vitest.config.ts"

/** The tests that are to notice what is changed in one file. */
const include = (process.env["MUTATION_TESTS"] ?? "").split(",")

export default { ...project, test: { ...project.test, include, isolate: false } }
