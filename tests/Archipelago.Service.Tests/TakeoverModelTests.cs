using System.Collections.Immutable;

namespace Archipelago.Service.Tests;

/// <summary>
/// Goes through everything that may happen between a leader's flush and a takeover: the leader dies or stalls between any two messages, a message that it has begun to send goes out after another leads, and what
/// it has sent reaches the standby and the Connector at different times. One person, whom each flush puts into another island.
/// </summary>
public class TakeoverModelTests
{
    /// <summary>What is said: a delta, a change of island, that a flush has been told, or that somebody leads.</summary>
    private readonly record struct Word(char Kind, int Term, int Flush, int Island);

    /// <param name="Said">How many of its words the first leader has said.</param>
    /// <param name="Stalled">It is before its next word, and has looked whether it may speak.</param>
    /// <param name="Dead">It is gone.</param>
    /// <param name="ToStandby">What the bus has for the standby.</param>
    /// <param name="ToConnector">What the bus has for the Connector.</param>
    /// <param name="Known">The island that the standby knows of; 0 for none.</param>
    /// <param name="Flush">The flush that it has.</param>
    /// <param name="Untold">Islands that may not have been told.</param>
    /// <param name="Leads">The standby leads, and has said so many of its words.</param>
    /// <param name="Words">What it has to say then.</param>
    /// <param name="Fence">The Connector's latest term.</param>
    /// <param name="Passed">What the Connector has passed on.</param>
    private sealed record State(
        int Said, bool Stalled, bool Dead, ImmutableQueue<Word> ToStandby, ImmutableQueue<Word> ToConnector, int Known, int Flush, ImmutableList<(int Flush, int Island)> Untold, int Leads, ImmutableList<Word> Words, int Fence, ImmutableList<(int Term, int Island)> Passed)
    {
        public string Key => $"{Said} {Stalled} {Dead} {string.Join(',', ToStandby)} {string.Join(',', ToConnector)} {Known} {Flush} {string.Join(',', Untold)} {Leads} {string.Join(',', Words)} {Fence} {string.Join(',', Passed)}";
    }

    /// <summary>Two flushes, each told as the Service tells it: to standbys first.</summary>
    private static readonly Word[] First = [new('d', 1, 1, 1), new('c', 1, 1, 1), new('t', 1, 1, 0), new('d', 1, 2, 2), new('c', 1, 2, 2), new('t', 1, 2, 0)];

    /// <summary>The same, but to the Connector first: what must not be.</summary>
    private static readonly Word[] Careless = [new('c', 1, 1, 1), new('d', 1, 1, 1), new('t', 1, 1, 0), new('c', 1, 2, 2), new('d', 1, 2, 2), new('t', 1, 2, 0)];

    private static State Say(State state, Word word) => word.Kind switch
    {
        'c' or 'l' => state with { ToConnector = state.ToConnector.Enqueue(word) },
        _ => state with { ToStandby = state.ToStandby.Enqueue(word) },
    };

    private static State HearAtStandby(State state)
    {
        State after = state with { ToStandby = state.ToStandby.Dequeue(out Word word) };
        return word.Kind switch
        {
            // Once it leads, what an earlier leader says is nothing to it.
            _ when state.Leads >= 0 => after,
            'd' when word.Flush == state.Flush + 1 => after with { Known = word.Island, Flush = word.Flush, Untold = state.Untold.Add((word.Flush, word.Island)) },
            't' => after with { Untold = state.Untold.RemoveAll(u => u.Flush <= word.Flush) },
            _ => after,
        };
    }

    private static State HearAtConnector(State state)
    {
        State after = state with { ToConnector = state.ToConnector.Dequeue(out Word word) };
        if (word.Term < state.Fence)
            return after;
        after = after with { Fence = word.Term };
        bool isSame = state.Passed.Count > 0 && state.Passed[^1].Island == word.Island;
        return word.Kind != 'c' || isSame ? after : after with { Passed = state.Passed.Add((word.Term, word.Island)) };
    }

    private static IEnumerable<State> Next(State state, Word[] first, bool drains)
    {
        if (!state.Dead && state.Said < first.Length)
        {
            // It looks whether it may speak; only while nobody else leads it may.
            if (!state.Stalled && state.Leads < 0)
                yield return state with { Stalled = true };
            if (state.Stalled)
                yield return Say(state with { Said = state.Said + 1, Stalled = false }, first[state.Said]);
            yield return state with { Dead = true };
        }
        if (!state.ToStandby.IsEmpty)
            yield return HearAtStandby(state);
        if (!state.ToConnector.IsEmpty)
            yield return HearAtConnector(state);
        if (state.Leads < 0)
        {
            // The lease has run out, wherever the first leader is. It says so, and hears everything that the bus has for it.
            State heard = Say(state, new Word('l', 2, 0, 0));
            while (drains && !heard.ToStandby.IsEmpty)
                heard = HearAtStandby(heard);
            var words = heard.Untold.Select(u => new Word('c', 2, u.Flush, heard.Known)).Append(new Word('c', 2, heard.Flush + 1, 100)).ToImmutableList();
            yield return heard with { Leads = 0, Words = words, Untold = [] };
        }
        else if (state.Leads < state.Words.Count)
        {
            yield return Say(state with { Leads = state.Leads + 1, Known = state.Words[state.Leads].Island }, state.Words[state.Leads]);
        }
    }

    private static int Explore(Word[] first, bool drains)
    {
        var start = new State(0, false, false, [], [], 0, 0, [], -1, [], 0, []);
        var seen = new HashSet<string> { start.Key };
        var open = new Stack<State>([start]);
        while (open.TryPop(out State? state))
        {
            Check(state);
            foreach (State next in Next(state, first, drains))
                if (seen.Add(next.Key))
                    open.Push(next);
        }
        return seen.Count;
    }

    private static void Check(State state)
    {
        for (int i = 1; i < state.Passed.Count; i++)
            if (state.Passed[i].Term < state.Passed[i - 1].Term || state.Passed[i].Island == state.Passed[i - 1].Island)
                Assert.Fail($"a leader that was overtaken was followed, or an island told twice: {state.Key}");
        // Before it makes a flush of its own, who leads knows where everybody has been told to be: so it moves nobody for no reason.
        if (state.Leads >= 0 && state.Leads < state.Words.Count && state.Passed.Count > 0 && state.Passed[^1].Island > Math.Max(state.Known, state.Words[0].Island == 100 ? state.Known : state.Words[0].Island))
            Assert.Fail($"somebody is in an island that the leader does not know of: {state.Key}");
        if (state.Leads == state.Words.Count && state.Words.Count > 0 && state.ToConnector.IsEmpty && (state.Passed.Count == 0 || state.Passed[^1].Island != state.Known))
            Assert.Fail($"somebody has not been told: {state.Key}");
    }

    [Fact]
    public void Whenever_a_leader_ends_nobody_is_in_an_island_that_the_next_does_not_know_of() =>
        Assert.InRange(Explore(First, drains: true), 300, 100_000);

    [Fact]
    public void Who_tells_people_before_standbys_would_be_caught() =>
        Assert.ThrowsAny<Xunit.Sdk.XunitException>(() => Explore(Careless, drains: true));

    [Fact]
    public void Who_leads_before_it_has_heard_everything_would_be_caught() =>
        Assert.ThrowsAny<Xunit.Sdk.XunitException>(() => Explore(First, drains: false));
}
