/** Commits of an async function's state: everything that asks for one in the same microtask shares it. */
import type { ChildSubmission, LogicPort } from './logic.ts'

interface Saving {
  readonly children: ChildSubmission[]
  readonly stored: (() => void)[]
}

/** What the run says to its saves. */
export interface SavedRun {
  readonly port: LogicPort
  readonly live: boolean
  readonly consumed: number
  /** The state, packed; undefined if it cannot be, and the run has failed. */
  pack(): Uint8Array | undefined
  /** True if the run was handed back with this state instead. */
  handedBackInstead(state: Uint8Array): boolean
  /** A commit is stored, and all that waited for it was told. */
  storedSome(): void
}

export class Saves {
  readonly #run: SavedRun
  #saving: Saving | undefined
  /** Commits that are not stored yet. */
  unstored = 0

  constructor(run: SavedRun) {
    this.#run = run
  }

  /** Commits the state after the current microtask; `stored` runs when it is stored. */
  soon(children: readonly ChildSubmission[], stored: () => void): void {
    if (!this.#run.live) return
    if (this.#saving === undefined) {
      this.#saving = { children: [], stored: [] }
      this.unstored++
      queueMicrotask(() => this.#flush())
    }
    this.#saving.children.push(...children)
    this.#saving.stored.push(stored)
  }

  /** Commits the state with these children in a block of their own. */
  now(children: readonly ChildSubmission[], stored: () => void): void {
    this.#flush()
    this.soon(children, stored)
    this.#flush()
  }

  #flush(): void {
    const saving = this.#saving
    const run = this.#run
    this.#saving = undefined
    if (saving === undefined || !run.live) return
    const state = run.pack()
    if (state === undefined || (saving.children.length === 0 && run.handedBackInstead(state))) return
    run.port.save(state, run.consumed, saving.children, () => {
      this.unstored--
      if (!run.live) return
      for (const stored of saving.stored) stored()
      run.storedSome()
    })
  }
}
