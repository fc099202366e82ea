/**
 * Tasks by id, in the order of their arrival. A task in a block that the log itself has named, which most are, is found by its
 * place: while it waits it needs neither a string nor an entry in a hash table, and a million may wait.
 */
import { systemPlace } from '../../protocol/names.ts'
import { type Arrival, placesPerMessage, type TaskRecord } from './task-record.ts'

/** The tasks of one block that still exist, by their index. */
interface Block {
  tasks: (TaskRecord | undefined)[]
  count: number
  /** There are no gaps: a task stands at its index no more, but in order. */
  isDense: boolean
}

/** A block with fewer slots than this keeps its gaps. */
const denseFrom = 16

export class TaskTable {
  private readonly partition: number
  /** By the sequence of their message. */
  private readonly blocks = new Map<number, Block>()
  private readonly named = new Map<string, TaskRecord>()
  private count = 0
  private newest: Arrival | undefined

  constructor(partition: number) {
    this.partition = partition
  }

  get size(): number {
    return this.count
  }

  get(id: string): TaskRecord | undefined {
    const place = systemPlace(id, this.partition, placesPerMessage)
    if (place >= 0) {
      const sequence = Math.floor(place / placesPerMessage)
      const block = this.blocks.get(sequence)
      const task = block && taskAt(block, place - sequence * placesPerMessage)
      if (task !== undefined) return task
    }
    return this.named.get(id)
  }

  /** What the tasks of this message have in common; the same object for all that are made one after the other. */
  arrival(sequence: number, submittedAtMs: number, client: string | undefined): Arrival {
    if (this.newest?.sequence !== sequence || this.newest.client !== client) {
      this.newest = { partition: this.partition, sequence, submittedAtMs, client }
    }
    return this.newest
  }

  /** The id names this place in a block. */
  isPlace(id: string, sequence: number, index: number): boolean {
    return index >= 0 && systemPlace(id, this.partition, placesPerMessage) === sequence * placesPerMessage + index
  }

  has(id: string): boolean {
    return this.get(id) !== undefined
  }

  /** Its id is not in the table yet. */
  add(task: TaskRecord): void {
    this.count++
    if (!task.isUnnamed || task.index < 0) {
      this.named.set(task.id, task)
      return
    }
    let block = this.blocks.get(task.sequence)
    if (block === undefined) {
      block = { tasks: [], count: 0, isDense: false }
      this.blocks.set(task.sequence, block)
    }
    block.count++
    // A block's tasks come in order, but for those that a checkpoint has saved before the others.
    while (block.tasks.length < task.index) block.tasks.push(undefined)
    block.tasks[task.index] = task
  }

  delete(task: TaskRecord): void {
    const block = task.index < 0 ? undefined : this.blocks.get(task.sequence)
    if (block === undefined || taskAt(block, task.index) !== task) {
      if (this.named.delete(task.id)) this.count--
      return
    }
    this.count--
    block.count--
    if (block.count === 0) this.blocks.delete(task.sequence)
    // A list of its own: who is going through the old one would miss the task after it.
    else if (block.isDense) block.tasks = block.tasks.toSpliced(denseIndex(block, task.index), 1)
    else {
      block.tasks[task.index] = undefined
      if (block.tasks.length >= denseFrom && block.count * 4 <= block.tasks.length) close(block)
    }
  }

  /** Shows every task that is there and stays, while others come and go; of those perhaps some that were deleted just now. */
  values(): IterableIterator<TaskRecord, undefined> {
    return new InOrder(this.blocks.values(), this.named.values())
  }
}

/** The tasks of the blocks and those with names, in the order of their arrival. A class, for a generator takes twice as long. */
class InOrder implements IterableIterator<TaskRecord, undefined> {
  private readonly blocks: Iterator<Block>
  private readonly named: Iterator<TaskRecord>
  private nextNamed: TaskRecord | undefined
  private nextNamedOrder = 0
  private tasks: Block['tasks'] = []
  private at = 0
  private nextOfBlock: TaskRecord | undefined

  constructor(blocks: Iterator<Block>, named: Iterator<TaskRecord>) {
    this.blocks = blocks
    this.named = named
    this.stepNamed()
    this.stepBlock()
  }

  [Symbol.iterator](): this {
    return this
  }

  next(): IteratorResult<TaskRecord, undefined> {
    const { nextOfBlock, nextNamed } = this
    if (nextNamed !== undefined && (nextOfBlock === undefined || this.nextNamedOrder < nextOfBlock.order)) {
      this.stepNamed()
      return { done: false, value: nextNamed }
    }
    if (nextOfBlock === undefined) return { done: true, value: undefined }
    this.stepBlock()
    return { done: false, value: nextOfBlock }
  }

  private stepNamed(): void {
    this.nextNamed = this.named.next().value
    this.nextNamedOrder = this.nextNamed?.order ?? 0
  }

  private stepBlock(): void {
    for (;;) {
      while (this.at < this.tasks.length) {
        this.nextOfBlock = this.tasks[this.at++]
        if (this.nextOfBlock !== undefined) return
      }
      this.nextOfBlock = undefined
      const block = this.blocks.next()
      if (block.done) return
      this.tasks = block.value.tasks
      this.at = 0
    }
  }
}

/** Few are left of many, for long perhaps: dead letters stay for a month. */
function close(block: Block): void {
  block.tasks = block.tasks.filter((task) => task !== undefined)
  block.isDense = true
}

function taskAt(block: Block, index: number): TaskRecord | undefined {
  return block.tasks[block.isDense ? denseIndex(block, index) : index]
}

/** Where the task stands in a block without gaps, −1 when it is not there. */
function denseIndex({ tasks }: Block, index: number): number {
  let from = 0
  let to = tasks.length - 1
  while (from <= to) {
    const middle = (from + to) >> 1
    const found = tasks[middle]!.index
    if (found === index) return middle
    if (found < index) from = middle + 1
    else to = middle - 1
  }
  return -1
}
