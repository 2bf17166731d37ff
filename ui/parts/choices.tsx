// ui, parts: a few choices of which one is made, such as the parts of a page or a filter.

export interface Choice<Id extends string> {
  readonly id: Id;
  readonly label: string;
  readonly count?: number;
}

export interface ChoicesProps<Id extends string> {
  /** What is chosen, for screen readers. */
  readonly label: string;
  readonly choices: readonly Choice<Id>[];
  readonly chosen: Id;
  readonly onChoose: (id: Id) => void;
}

export function Choices<Id extends string>({ label, choices, chosen, onChoose }: ChoicesProps<Id>) {
  return (
    <fieldset class="chips" aria-label={label}>
      {choices.map((choice) => (
        <button
          key={choice.id}
          type="button"
          class="chip"
          aria-pressed={choice.id === chosen}
          onClick={() => onChoose(choice.id)}
        >
          {choice.label}
          {choice.count !== undefined && <span class="chip-count"> {choice.count}</span>}
        </button>
      ))}
    </fieldset>
  );
}
