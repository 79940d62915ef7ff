// Starts the dashboard: the frame, the page of this address, the dialogs, the stream and the keys.
import { Component, type ComponentChildren, render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import './style/tokens.css';
import './style/base.css';
import './style/parts.css';
import './style/pages.css';
import { shut } from './core/api';
import { startKeys } from './core/keys';
import { startLive } from './core/live';
import { page, place } from './core/router';
import { code, whoIsIt } from './core/session';
import { t } from './en';
import { ActionDialog } from './parts/Action';
import { Head } from './parts/Head';
import { Help } from './parts/Help';
import { later } from './parts/Later';
import { Link } from './parts/Link';
import { Empty, Notices } from './parts/Notice';
import { Operations } from './parts/Progress';
import { Shell } from './parts/Shell';
import { Errors } from './pages/Errors';
import { Job } from './pages/Job';
import { Jobs } from './pages/Jobs';
import { Login } from './pages/Login';
import { Overview } from './pages/Overview';
import { Queues } from './pages/Queues';
import { Workers } from './pages/Workers';

const Schedules = later(async () => (await import('./pages/Schedules')).Schedules);
const Settings = later(async () => (await import('./pages/Settings')).Settings);

function Page() {
  const [, name] = place.value.path;
  switch (page.value) {
    case 'overview':
      return <Overview />;
    case 'queues':
      return <Queues />;
    case 'jobs':
      return name === undefined ? <Jobs /> : <Job key={name} id={name} />;
    case 'errors':
      return <Errors key={name ?? ''} />;
    case 'workers':
      return <Workers key={name ?? ''} />;
    case 'schedules':
      return <Schedules key={name ?? ''} />;
    case 'settings':
      return <Settings />;
    default:
      return (
        <>
          <Head title={t.notFound} />
          <Empty title={t.notFoundText}>
            <Link to="/">{t.pages.overview}</Link>
          </Empty>
        </>
      );
  }
}

/** A page that breaks takes neither the frame nor the other pages with it. */
class Fence extends Component<{ children: ComponentChildren; at: string }, { broken: string | null }> {
  override state = { broken: null as string | null };
  static override getDerivedStateFromError(): { broken: string } {
    return { broken: place.peek().path.join('/') };
  }
  override componentDidCatch(error: unknown): void {
    console.error(error);
  }
  override componentDidUpdate(): void {
    if (this.state.broken && this.state.broken !== this.props.at) this.setState({ broken: null });
  }
  override render() {
    if (!this.state.broken) return this.props.children;
    return (
      <>
        <Head title={t.broken} />
        <Empty title={t.brokenText} />
      </>
    );
  }
}

function App() {
  if (shut.value || code) return <Login />;
  return (
    <>
      <Shell>
        <Fence at={place.value.path.join('/')}>
          <Page />
        </Fence>
      </Shell>
      <Operations />
      <ActionDialog />
      <Help />
      <Notices />
    </>
  );
}

void whoIsIt().then(() => {
  if (!shut.value && !code) {
    startLive();
    startKeys();
  }
});
render(<App />, document.getElementById('app')!);
