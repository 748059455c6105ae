/**
 * Loads before the first test what is otherwise loaded within one: what a module does when it is loaded would count as that test's, and
 * no other would be asked to notice a change of it.
 */
import "../../src/proxy/ProxyMode.ts"
