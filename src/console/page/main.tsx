import 'uplot/dist/uPlot.min.css'
import './style/theme.css'
import './style/frame.css'
import './style/panels.css'
import './style/figures.css'
import './style/tables.css'
import './style/controls.css'
import './style/event.css'
import './style/drawer.css'
import './style/narrow.css'
import { render } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { isLocked, setToken, token } from './api.ts'
import { DeadLetters } from './dead-letters.tsx'
import { Find } from './find.tsx'
import { Live } from './live.tsx'
import { Login } from './login.tsx'
import { Overview } from './overview.tsx'
import { Failure, Notes } from './parts.tsx'
import { Projects } from './projects.tsx'
import { Queries } from './queries.tsx'
import { openPage, route, toHash } from './route.ts'
import { loadSession, session, sessionError } from './session.ts'

const pages = [
  { name: 'overview', title: 'Overview', View: Overview },
  { name: 'live', title: 'Live events', View: Live },
  { name: 'find', title: 'Find an event', View: Find },
  { name: 'dead-letters', title: 'Dead letters', View: DeadLetters },
  { name: 'queries', title: 'Queries', View: Queries },
  { name: 'projects', title: 'Projects and settings', View: Projects },
] as const

function App() {
  const page = pages.find(({ name }) => name === route.value.page) ?? pages[0]
  const content = useRef<HTMLElement>(null)
  const isFirst = useRef(true)
  useEffect(() => {
    document.title = `${page.title} · Spillway`
    // On a phone the list of pages is wider than the screen.
    const link = document.querySelector('nav.pages [aria-current]')
    link?.scrollIntoView({ inline: 'center', block: 'nearest' })
    // After a change of the page the focus goes to its content, as after a new document.
    if (!isFirst.current) content.current?.focus()
    isFirst.current = false
  }, [page])
  // A new token asks again.
  useEffect(() => void loadSession(), [token.value, isLocked.value])
  if (isLocked.value) return <Login />
  return (
    <>
      <button type="button" class="skip" onClick={() => content.current?.focus()}>
        Skip to the content
      </button>
      <Header />
      <Navigation current={page.name} />
      <main id="content" ref={content} tabIndex={-1}>
        <h1>{page.title}</h1>
        <Failure error={sessionError.value} retry={() => void loadSession()} />
        <Notes notes={session.value?.notes} />
        <page.View />
      </main>
    </>
  )
}

function Header() {
  const { version, environment } = session.value ?? {}
  return (
    <header class="top">
      <a class="brand" href="#/overview">
        <Mark />
        Spillway
      </a>
      <span class="about">
        {version && <span>{version}</span>}
        {environment && <span class="chip">{environment}</span>}
      </span>
      <search>
        <form onSubmit={search}>
          <input
            type="search"
            name="id"
            autocomplete="off"
            spellcheck={false}
            aria-label="Find an event"
            placeholder="uuid, distinct_id or request id"
          />
        </form>
      </search>
      {token.value !== '' && (
        <button type="button" class="small" onClick={() => setToken('')}>
          Log out
        </button>
      )}
    </header>
  )
}

function search(event: SubmitEvent): void {
  event.preventDefault()
  const form = event.currentTarget as HTMLFormElement
  const id = String(new FormData(form).get('id')).trim()
  if (id === '') return
  form.reset()
  openPage('find', { id })
}

/** Water over a sill. */
function Mark() {
  return (
    <svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true">
      <rect width="24" height="24" rx="6" fill="var(--brand)" />
      <path
        d="M5 8h6c4 0 3 8 8 8M5 12h4c3 0 3 4 6 4M5 16h4"
        fill="none"
        stroke="#fff"
        stroke-width="2"
        stroke-linecap="round"
      />
    </svg>
  )
}

function Navigation({ current }: { current: string }) {
  return (
    <nav class="pages" aria-label="Pages">
      <ul>
        {pages.map(({ name, title }) => (
          <li key={name}>
            <a href={toHash(name)} aria-current={name === current ? 'page' : undefined}>
              {title}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  )
}

addEventListener('keydown', (event) => {
  const target = event.target as HTMLElement
  if (event.key !== '/' || target.closest('input, textarea, select, dialog')) return
  event.preventDefault()
  document.querySelector<HTMLInputElement>('header.top input[type=search]')?.focus()
})

render(<App />, document.getElementById('app')!)
