using Archipelago.Service.Election;

namespace Archipelago.Service.Tests;

/// <summary>
/// Goes through everything that may happen between two Services and a register: every order of steps, requests and answers that are late or lost, a Service that stalls between any two
/// steps, one that dies and comes back. Times, revisions and terms are kept relative to the present ones, and what is too old to matter is all the same, so the states are finitely many, and
/// all of them are reached, however long it takes and however much goes wrong on the way.
/// </summary>
public class LeaseTests
{
    private static readonly LeaseTimes Times = new(Length: 2, Margin: 0, Renew: 1, Poll: 1);

    /// <summary>The present revision and term in a state.</summary>
    private const long Present = 10;

    /// <summary>The name in the register of one that has died.</summary>
    private const string Dead = "dead";

    /// <summary>A request on its way: before it reaches the register, or its answer.</summary>
    private readonly record struct Request(LeaseAction Action, long SentAt, bool IsApplied = false, long? Written = null);

    private sealed record Node(Lease Lease, Request? Request);

    /// <param name="Revision">Of the register.</param>
    /// <param name="Entry">In the register.</param>
    /// <param name="A">One Service.</param>
    /// <param name="B">The other.</param>
    /// <param name="Orphan">A write of one that has died, which may still reach the register.</param>
    /// <param name="Latest">The latest term in which anybody could have spoken.</param>
    /// <param name="Speaker">Who that was.</param>
    private sealed record State(long Revision, LeaseEntry? Entry, Node A, Node B, LeaseAction? Orphan, long Latest, string Speaker);

    private static IEnumerable<State> Next(State state)
    {
        yield return Shifted(state, 1, 0, 0);
        if (state.Orphan is { } orphan)
        {
            yield return Apply(state with { Orphan = null }, orphan, out _);
            yield return state with { Orphan = null };
        }
        foreach (bool first in (bool[])[true, false])
        {
            Node node = first ? state.A : state.B;
            State With(Node changed) => first ? state with { A = changed } : state with { B = changed };
            if (node.Request is not { } request)
            {
                LeaseAction action = node.Lease.Next(0, new LeaseView(IsReady: true, LatestTerm: 0, FirstTerm: Present));
                if (action.Step != LeaseStep.Wait)
                    yield return With(node with { Request = new Request(action, 0) });
                string other = (first ? state.B : state.A).Lease.Me;
                if (node.Lease.HandOver(other, 0) is { } handing)
                    yield return With(new Node(handing.Lease, new Request(handing.Action, 0)));
            }
            else
            {
                yield return request.IsApplied ? With(node with { Lease = Answered(node.Lease, request), Request = null }) : Reach(state, node, request, first);
                // It, or its answer, is lost.
                yield return With(node with { Lease = node.Lease.OnFailed(request.Action, 0), Request = null });
                // It is late: it will arrive when its sender has given it up.
                if (request is { IsApplied: false, Action.Step: LeaseStep.Write } && state.Orphan is null)
                    yield return With(node with { Lease = node.Lease.OnFailed(request.Action, 0), Request = null }) with { Orphan = request.Action };
            }
            // It dies, and another is started in its place; what it has sent may arrive yet.
            LeaseAction? sent = node.Request is { IsApplied: false, Action.Step: LeaseStep.Write } late ? late.Action : state.Orphan;
            yield return Buried(With(new Node(new Lease(node.Lease.Me, Times), null)) with { Orphan = sent }, node.Lease.Me);
        }
    }

    /// <summary>What bears the name of one that has died bears it no more: who comes after it is another.</summary>
    private static State Buried(State state, string who)
    {
        LeaseEntry? Of(LeaseEntry? entry) => entry is { } e && e.Holder == who ? e with { Holder = Dead } : entry;
        Node Node(Node node) => node.Lease.Me == who ? node : new Node(node.Lease with { Seen = Of(node.Lease.Seen) }, node.Request);
        return state with
        {
            Entry = Of(state.Entry),
            A = Node(state.A),
            B = Node(state.B),
            Orphan = state.Orphan is { } orphan ? orphan with { Entry = Of(orphan.Entry)!.Value } : null,
            Speaker = state.Speaker == who ? Dead : state.Speaker,
        };
    }

    /// <summary>The same state told from a later time, revision and term, with what is too old to matter all the same.</summary>
    private static State Shifted(State state, long time, long revisions, long terms)
    {
        long Term(long term) => term == 0 ? 0 : Math.Clamp(term - terms, Present - 1, Present + 3);
        long Revision(long revision) => revision == 0 ? 0 : Math.Max(Present - 1, revision - revisions);
        LeaseEntry? Entry(LeaseEntry? entry) => entry is { } e ? new LeaseEntry(e.Holder, Term(e.Term)) : null;
        LeaseAction Action(LeaseAction action) => action with { Entry = Entry(action.Entry)!.Value, Revision = Revision(action.Revision) };
        Lease Lease(Lease lease) => new Lease(lease.Me, lease.Times)
        {
            Term = Term(lease.Term),
            ValidUntil = Math.Max(0, lease.ValidUntil - time),
            Revision = lease.Term == 0 ? 0 : Revision(lease.Revision),
            IsInDoubt = lease.IsInDoubt,
            DueAt = Math.Max(0, lease.DueAt - time),
            HasRead = lease.HasRead,
            HasSeen = lease.HasSeen,
            Seen = lease.HasSeen ? Entry(lease.Seen) : null,
            SeenRevision = lease.HasSeen ? Revision(lease.SeenRevision) : 0,
            SeenSince = lease.HasSeen ? Math.Max(-Times.Length, lease.SeenSince - time) : 0,
        };
        Node Node(Node node) => new(Lease(node.Lease), node.Request is { } r
            ? r with { Action = Action(r.Action), SentAt = r.Action.Step == LeaseStep.Read ? 0 : Math.Max(-Times.Length, r.SentAt - time), Written = r.Written is { } w ? Revision(w) : null }
            : null);
        return state with { Revision = Revision(state.Revision), Entry = Entry(state.Entry), A = Node(state.A), B = Node(state.B), Orphan = state.Orphan is { } o ? Action(o) : null, Latest = Term(state.Latest) };
    }

    private static State Relative(State state) => Shifted(state, 0, state.Revision == 0 ? 0 : state.Revision - Present, state.Entry is { } entry ? entry.Term - Present : 0);

    private static State Reach(State state, Node node, Request request, bool first)
    {
        State after = state;
        Node changed;
        if (request.Action.Step == LeaseStep.Read)
        {
            // An answer that is late says the same as one that is in time, and counts from later on: it only makes its reader wait longer.
            changed = new Node(node.Lease.OnRead(0, state.Revision, state.Entry), null);
        }
        else
        {
            after = Apply(state, request.Action, out long? written);
            changed = node with { Request = request with { IsApplied = true, Written = written } };
        }
        return first ? after with { A = changed } : after with { B = changed };
    }

    private static State Apply(State state, LeaseAction write, out long? written)
    {
        written = state.Revision == write.Revision ? state.Revision + 1 : null;
        return written is { } revision ? state with { Revision = revision, Entry = write.Entry } : state;
    }

    private static Lease Answered(Lease lease, Request request) =>
        request.Written is { } revision ? lease.OnWritten(request.Action, request.SentAt, revision) : lease.OnRefused(0);

    private static State Check(State state)
    {
        bool a = state.A.Lease.MaySpeak(0), b = state.B.Lease.MaySpeak(0);
        // Not asserted straight away: to put a million states into words takes longer than to go through them.
        if (a && b)
            Assert.Fail($"two lead at once: {state}");
        if (!a && !b)
            return state;
        Lease speaker = a ? state.A.Lease : state.B.Lease;
        if (speaker.Term < state.Latest || (speaker.Term == state.Latest && speaker.Me != state.Speaker))
            Assert.Fail($"a term again, or an earlier one: {state}");
        return state with { Latest = speaker.Term, Speaker = speaker.Me };
    }

    /// <summary>With nothing going wrong any more, in a while one leads and goes on leading.</summary>
    private static void CheckThatOneWillLead(State state)
    {
        for (int tick = 0; tick < 12; tick++)
        {
            for (bool acted = true; acted;)
            {
                acted = false;
                foreach (bool first in (bool[])[true, false])
                {
                    Node node = first ? state.A : state.B;
                    if (node.Request is { IsApplied: false } request)
                        state = Reach(state, node, request, first);
                    else if (node.Request is { } answered)
                        state = With(state, first, new Node(Answered(node.Lease, answered), null));
                    else if (node.Lease.Next(0, new LeaseView(true, 0, Present)) is { Step: not LeaseStep.Wait } action)
                        state = With(state, first, node with { Request = new Request(action, 0) });
                    else
                        continue;
                    acted = true;
                }
            }
            if (tick >= 6 && !state.A.Lease.MaySpeak(0) && !state.B.Lease.MaySpeak(0))
                Assert.Fail($"nobody leads: {state}");
            state = Check(Shifted(state, 1, 0, 0));
        }

        static State With(State state, bool first, Node node) => first ? state with { A = node } : state with { B = node };
    }

    private static int Explore()
    {
        State start = new(0, null, new Node(new Lease("a", Times), null), new Node(new Lease("b", Times), null), null, 0, "");
        var seen = new HashSet<UInt128> { KeyOf(start) };
        var open = new Stack<State>([start]);
        bool changed = false;
        while (open.TryPop(out State? state))
        {
            // Each of these takes as long as going on from fifty states; one in eight is many enough.
            if (seen.Count % 8 == 0)
                CheckThatOneWillLead(state);
            foreach (State next in Next(state))
            {
                State held = Relative(Check(next));
                changed |= state.Speaker == "a" && held.Speaker == "b";
                if (seen.Add(KeyOf(held)))
                    open.Push(held);
            }
        }
        Assert.True(changed, "nothing happened, so nothing was shown");
        return seen.Count;
    }

    /// <summary>A number that two states share when they are the same, or the same with the two Services in each other's place.</summary>
    private static UInt128 KeyOf(State state)
    {
        UInt128 one = Packed(state, state.A, state.B, "a"), other = Packed(state, state.B, state.A, "b");
        return one < other ? one : other;
    }

    private static UInt128 Packed(State state, Node first, Node second, string firstName)
    {
        UInt128 key = 0;
        void Add(long value, int values)
        {
            if ((ulong)value >= (ulong)values)
                throw new ArgumentOutOfRangeException(nameof(value), value, "The packing is too tight.");
            key = (key * (ulong)values) + (ulong)value;
        }
        void Near(long value) => Add(value == 0 ? 0 : value - Present + 2, 6);
        void Name(string name) => Add(name.Length == 0 ? 0 : name == Dead ? 1 : name == firstName ? 2 : 3, 4);
        void Entry(LeaseEntry? entry)
        {
            Add(entry is null ? 0 : 1, 2);
            Name(entry?.Holder ?? "");
            Near(entry?.Term ?? 0);
        }
        void Node(Node node)
        {
            Lease lease = node.Lease;
            Near(lease.Term);
            Add(lease.ValidUntil, 3);
            Near(lease.Revision);
            Add((lease.IsInDoubt ? 1 : 0) + (lease.HasRead ? 2 : 0) + (lease.HasSeen ? 4 : 0), 8);
            Add(lease.DueAt, 3);
            Entry(lease.Seen);
            Near(lease.SeenRevision);
            Add(-lease.SeenSince, 3);
            Request request = node.Request ?? default;
            Add(node.Request is null ? 0 : (int)request.Action.Step, 3);
            Entry(request.Action.Entry.Holder is null ? null : request.Action.Entry);
            Near(request.Action.Revision);
            Add(-request.SentAt, 3);
            Add(request.IsApplied ? 1 : 0, 2);
            Near(request.Written ?? 0);
        }
        Near(state.Revision);
        Entry(state.Entry);
        Near(state.Latest);
        Name(state.Speaker);
        Add(state.Orphan is null ? 0 : 1, 2);
        Entry(state.Orphan?.Entry);
        Near(state.Orphan?.Revision ?? 0);
        Node(first);
        Node(second);
        return key;
    }

    [Fact]
    public void Whatever_happens_no_two_lead_at_once_terms_rise_and_in_the_end_one_leads()
    {
        int states = Explore();
        Assert.True(states > 100_000, $"{states} states");
    }

    /// <summary>The model would show a lease that does not hold: here one that the others do not wait out.</summary>
    [Fact]
    public void Who_did_not_wait_would_be_caught()
    {
        State state = new(1, new LeaseEntry("a", 1), new Node(new Lease("a", Times), null), new Node(new Lease("b", Times), null), null, 1, "a");
        Lease a = state.A.Lease.OnWritten(new LeaseAction(LeaseStep.Write, Entry: new LeaseEntry("a", 1)), 0, 1);
        Lease b = state.B.Lease.OnWritten(new LeaseAction(LeaseStep.Write, Entry: new LeaseEntry("b", 2)), 0, 2);
        Assert.ThrowsAny<Xunit.Sdk.XunitException>(() => Check(state with { A = new Node(a, null), B = new Node(b, null) }));
    }

    [Fact]
    public void Who_hears_of_a_later_term_falls_silent_at_once()
    {
        Lease leader = new Lease("a", Times).OnWritten(new LeaseAction(LeaseStep.Write, Entry: new LeaseEntry("a", 5)), 0, 1);
        Assert.True(leader.OnHeard(5, 1).MaySpeak(1));
        Assert.False(leader.OnHeard(6, 1).MaySpeak(1));
        Assert.Equal(LeaseStep.Read, leader.OnHeard(6, 1).Next(1, new LeaseView(true, 6, 1)).Step);
    }

    [Fact]
    public void Terms_go_on_where_an_emptied_register_does_not()
    {
        Lease fresh = new Lease("a", Times).OnRead(0, 0, null);
        Assert.Equal(8, fresh.Next(0, new LeaseView(true, 7, 3)).Entry.Term);
        Assert.Equal(100, fresh.Next(0, new LeaseView(true, 7, 100)).Entry.Term);
        Lease reads = new Lease("a", Times).OnRead(0, 9, new LeaseEntry("b", 4));
        Assert.Equal(LeaseStep.Wait, reads.Next(0, new LeaseView(true, 7, 3)).Step);
        Assert.Equal(new LeaseEntry("a", 8), reads.Next(2, new LeaseView(true, 7, 3)).Entry);
    }

    [Fact]
    public void Who_could_not_take_over_quietly_waits_longer()
    {
        Lease reads = new Lease("a", Times).OnRead(0, 9, new LeaseEntry("b", 4));
        Assert.NotEqual(LeaseStep.Write, reads.Next(3, new LeaseView(IsReady: false, 0, 1)).Step);
        Assert.Equal(LeaseStep.Write, reads.Next(4, new LeaseView(IsReady: false, 0, 1)).Step);
        // Nobody leads: then it is a whole lease less.
        Lease released = new Lease("a", Times).OnRead(0, 9, new LeaseEntry("", 4));
        Assert.Equal(LeaseStep.Write, released.Next(0, new LeaseView(IsReady: true, 0, 1)).Step);
        Assert.NotEqual(LeaseStep.Write, released.Next(1, new LeaseView(IsReady: false, 0, 1)).Step);
        Assert.Equal(LeaseStep.Write, released.Next(2, new LeaseView(IsReady: false, 0, 1)).Step);
    }
}
