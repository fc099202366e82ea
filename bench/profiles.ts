/** What nodes and task types say of themselves in simulations: plain functions that ask for nothing. */
import { defaultRestart, defaultRetry, type NodeProfile, type TaskProfile } from '../src/protocol/options.ts'

export function taskProfile(type: string): TaskProfile {
  const logic = 'function'
  return { type, logic, retry: defaultRetry, restart: defaultRestart, timeoutMs: 0, resources: {}, schema: false }
}

export function nodeProfile(node: string, slots: number, types: readonly string[], cpus = slots): NodeProfile {
  const about = { node, host: 'h', pid: 1, version: '0', slots, resources: { cpu: cpus }, labels: {} }
  return { ...about, types: types.map(taskProfile) }
}
