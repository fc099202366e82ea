/** Chooses who runs the logic of a definition: on the node's main thread, or alone in a thread or process. */
import type { AnyTaskDefinition } from '../../client/task.ts'
import { FunctionRunner } from './function-runner.ts'
import type { LogicPort, LogicRunner } from './logic.ts'

/** Returns the runner of one turn's logic. */
export function createRunner(definition: AnyTaskDefinition, port: LogicPort): LogicRunner {
  return new FunctionRunner(definition, port)
}
