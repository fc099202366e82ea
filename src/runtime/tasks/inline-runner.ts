/** Chooses who runs the logic of a definition on the thread where this is called. */
import type { AnyTaskDefinition } from '../../client/task.ts'
import { FunctionRunner } from './function-runner.ts'
import type { LogicPort, LogicRunner } from './logic.ts'
import { MachineRunner } from './machine-runner.ts'

/** Returns the runner of one turn's logic. */
export function inlineRunner(definition: AnyTaskDefinition, port: LogicPort): LogicRunner {
  const { logic } = definition
  return logic.kind === 'function'
    ? new FunctionRunner(definition, port)
    : new MachineRunner(definition, logic.actor, port)
}
