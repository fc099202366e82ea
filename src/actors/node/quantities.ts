/**
 * The named quantities of a node and what its turns take of them: a hard limit, kept here because the node alone always knows
 * what it runs. A scheduler counts the same from the log; an award that came too early is declined with the reason.
 */
import { type Quantities as Amounts, lacking, plus } from '../scheduler/policies/demands.ts'

export class Quantities {
  private readonly declared: Amounts
  private used: Amounts = {}
  private readonly byTask = new Map<string, Amounts>()

  constructor(declared: Amounts) {
    this.declared = declared
  }

  /** Takes what a turn of the task asks for; returns why not when it is more than what is left, and takes nothing. */
  take(task: string, asked: Amounts): string | undefined {
    for (const name in asked) {
      if (asked[name]! > 0) return this.takeSome(task, asked)
    }
    return undefined
  }

  give(task: string): void {
    const asked = this.byTask.get(task)
    if (asked === undefined) return
    this.byTask.delete(task)
    this.used = this.byTask.size === 0 ? {} : plus(this.used, asked, -1)
  }

  clear(): void {
    this.byTask.clear()
    this.used = {}
  }

  /** What is left. */
  get free(): Amounts {
    return this.byTask.size === 0 ? this.declared : plus(this.declared, this.used, -1)
  }

  private takeSome(task: string, asked: Amounts): string | undefined {
    const { free } = this
    const name = lacking(asked, free)
    if (name !== undefined) {
      return `it asks for ${asked[name]} ${name}, and ${free[name] ?? 0} of ${this.declared[name] ?? 0} are free here`
    }
    this.byTask.set(task, asked)
    this.used = plus(this.used, asked, 1)
    return undefined
  }
}
