using System.Numerics;

namespace Archipelago.Core.Internals;

/// <content>
/// Who is active looks around. When there are many, and several threads, they look all at once first: then each sees the others as they were before, writes nothing but its own
/// circle and its own watches, and of two who look, each keeps to its own half of what is between them, unless it watches the other; so it does not matter who was first. Who would have
/// to cut down somebody's circle does not, and looks again afterwards, when one looks after the other.
/// </content>
internal sealed partial class NeighbourIndex
{
    /// <summary>From so many on they look at once. Few in debug builds, so that every test sees it.</summary>
#if DEBUG
    private const int ManyLook = 2;
#else
    private const int ManyLook = 256;
#endif

    /// <summary>What one thread needs to look around with.</summary>
    private sealed class Looker
    {
        /// <summary>Whom the one who looks around is to watch, and the room that they would leave its circle.</summary>
        public readonly (double Room, int Body)[] Watch = new (double, int)[Watches.Most];
        public int ToWatch;

        /// <summary>By island B of a contact, one more than island A of the last that was noted.</summary>
        public int[] LastContact = [];

        /// <summary>What was found by one of many.</summary>
        public readonly Pool<Contact> Found = new();

        /// <summary>Where contacts go.</summary>
        public Pool<Contact> Contacts = new();

        /// <summary>True while others look at the same time.</summary>
        public bool IsOneOfMany;

        /// <summary>True when the one who looks around would have had to cut down somebody's circle.</summary>
        public bool HasToCut;

        public void Prepare(World world)
        {
            if (LastContact.Length < world.IslandTop)
                LastContact = new int[world.Islands.Length];
        }
    }

    private readonly LooksAtOnce atOnce = new();
    private Looker[] lookers = [new()];

    /// <summary>Who has looked in the running search.</summary>
    private readonly Pool<int> looked = new();

    public void ReleaseScratch()
    {
        lookers = [new()];
        looked.Release();
        atOnce.ReleaseScratch();
    }

    /// <summary>Lets those who are active look around, and adds whom they meet.</summary>
    /// <param name="world">The world.</param>
    /// <param name="contacts">What is found is added.</param>
    /// <param name="bounded">Whether to give up when there is too much to find.</param>
    /// <returns>
    /// False when it gave up: thousands who met at one place at once have a contact each with all others. Everybody is active as before then, and what was
    /// found is to be dropped, for it depends on who looked first.
    /// </returns>
    public bool Search(World world, Pool<Contact> contacts, bool bounded)
    {
        int enough = bounded ? MostContacts(world.PeerCount) : int.MaxValue, limit = enough;
        Looker looker = PrepareLooker(world, contacts);
        looked.Clear();
        LookAtOnce(world, contacts, enough);
        // Looking around may activate neighbours, also behind: then it is gone through again from there.
        while (firstActive < active.Length)
        {
            int word = firstActive;
            firstActive = int.MaxValue;
            for (; word < active.Length; word++)
            {
                for (ulong bits = active[word]; bits != 0; bits = active[word])
                {
                    if (contacts.Count > limit && !HaveRoom(contacts, enough, ref limit))
                    {
                        firstActive = Math.Min(firstActive, word);
                        foreach (int again in looked.Span)
                            Activate(again);
                        return false;
                    }
                    active[word] = bits & (bits - 1);
                    int body = (word << 6) + BitOperations.TrailingZeroCount(bits);
                    if (world.Bodies[body].Island < 0)
                        continue;
                    looked.Add(body);
                    Look(world, body, looker);
                }
            }
        }
        if (contacts.Count <= enough || HaveRoom(contacts, enough, ref limit))
            return true;
        foreach (int again in looked.Span)
            Activate(again);
        return false;
    }

    /// <summary>
    /// Counts each pair of islands once, since how often a pair is found depends on who looked first, and whether the search is given up must not. What is found more than once is
    /// dropped.
    /// </summary>
    private bool HaveRoom(Pool<Contact> contacts, int enough, ref int limit)
    {
        ForgetContacts(contacts.Span);
        contacts.Span.Sort(static (a, b) => PairOf(a).CompareTo(PairOf(b)));
        int kept = 0;
        Span<Contact> all = contacts.Span;
        foreach (ref readonly Contact contact in all)
            if (kept == 0 || PairOf(all[kept - 1]) != PairOf(contact))
                all[kept++] = contact;
        contacts.Resize(kept);
        limit = (int)Math.Max(enough, Math.Min(int.MaxValue, 2L * kept));
        return kept <= enough;
    }

    private static ulong PairOf(in Contact contact) =>
        ((ulong)(uint)Math.Min(contact.IslandA, contact.IslandB) << 32) | (uint)Math.Max(contact.IslandA, contact.IslandB);

    /// <summary>
    /// Lets these newcomers look around, beginning with <paramref name="next"/>, and adds whom they meet. What a newcomer finds may have to wait for a
    /// flush of everything, so they stay active.
    /// </summary>
    /// <returns>
    /// False when it stopped early, with enough to deal with; then search on. Newcomers look in the order in which they were added, so what is found first
    /// does not depend on chance.
    /// </returns>
    public bool SearchAround(World world, ReadOnlySpan<int> newcomers, ref int next, Pool<Contact> contacts)
    {
        int enough = MostContacts(world.PeerCount);
        Looker looker = PrepareLooker(world, contacts);
        while (next < newcomers.Length)
        {
            if (contacts.Count > enough)
                return false;
            Look(world, newcomers[next++], looker);
        }
        return true;
    }

    private static int MostContacts(int peers) => (int)Math.Min(int.MaxValue / 4, 4096 + (4L * peers));

    private Looker PrepareLooker(World world, Pool<Contact> contacts)
    {
        Looker looker = lookers[0];
        looker.Prepare(world);
        looker.Contacts = contacts;
        looker.IsOneOfMany = false;
        return looker;
    }

    /// <summary>Forgets which contacts were noted; call it when the contacts have been dealt with.</summary>
    public void ForgetContacts(ReadOnlySpan<Contact> contacts) => Forget(lookers[0], contacts);

    private static void Forget(Looker looker, ReadOnlySpan<Contact> contacts)
    {
        foreach (ref readonly Contact contact in contacts)
            looker.LastContact[contact.IslandB] = 0;
    }

    /// <summary>Lets all who are active look around at once, where they are many. Who has to look again, alone, stays active.</summary>
    private void LookAtOnce(World world, Pool<Contact> contacts, int enough)
    {
        // For one thread, one after the other is quicker: who looks later has less to look at.
        if (!crew.Shares(BodyMarks.ChunksOf(capacity)))
            return;
        int count = 0;
        for (int word = firstActive; word < active.Length; word++)
            count += BitOperations.PopCount(active[word]);
        if (count < ManyLook)
            return;
        for (int word = firstActive; word < active.Length; word++)
        {
            for (ulong bits = active[word]; bits != 0; bits &= bits - 1)
            {
                int body = (word << 6) + BitOperations.TrailingZeroCount(bits);
                if (world.Bodies[body].Island >= 0 && Settle(world, body))
                    looked.Add(body);
                else
                    active[word] &= ~(1UL << body);
            }
        }
        for (int lane = lookers.Length; lane < crew.Size; lane++)
        {
            Array.Resize(ref lookers, lane + 1);
            lookers[lane] = new Looker();
        }
        for (int lane = 0; lane < crew.Size; lane++)
        {
            Looker looker = lookers[lane];
            looker.Found.Clear();
            looker.Contacts = looker.Found;
            looker.IsOneOfMany = true;
        }
        bool complete = atOnce.TryRun(this, world, crew, enough);
        for (int lane = 0; lane < crew.Size; lane++)
            Forget(lookers[lane], lookers[lane].Found.Span);
        PrepareLooker(world, contacts);
        if (complete)
            atOnce.Collect(this, contacts);
    }

    /// <summary>Lets all look who are active, a range of bodies a chunk.</summary>
    private sealed class LooksAtOnce : IChunkedWork
    {
        /// <summary>By chunk, what was found in it: a range of what its lane has found, so that the order is that of bodies whichever thread was quicker.</summary>
        private readonly Pool<(int Lane, int Start, int End)> found = new();

        /// <summary>Who has to look again.</summary>
        private readonly BodyMarks again = new();
        private NeighbourIndex index = null!;
        private World world = null!;
        private int enough;
        private int isTooMuch;

        /// <summary>Lets them look. False when they meet too many; then all of it is to be dropped.</summary>
        public bool TryRun(NeighbourIndex index, World world, Crew crew, int enough)
        {
            this.index = index;
            this.world = world;
            this.enough = enough;
            isTooMuch = 0;
            again.Reset(index.capacity);
            crew.Do(this, found.Resize(again.Chunks).Length);
            return isTooMuch == 0;
        }

        /// <summary>Adds what was found, and leaves only those active who have to look again.</summary>
        public void Collect(NeighbourIndex index, Pool<Contact> contacts)
        {
            foreach ((int lane, int start, int end) in found.Span)
                foreach (ref readonly Contact contact in index.lookers[lane].Found.Span[start..end])
                    contacts.Add(contact);
            again.Words.CopyTo(index.active);
            int first = again.Next(-1);
            index.firstActive = first < 0 ? int.MaxValue : first >> 6;
        }

        public void ReleaseScratch()
        {
            found.Release();
            again.Release();
        }

        public void Do(int chunk, int lane)
        {
            Looker looker = index.lookers[lane];
            // Here, since most of many lanes may never come.
            looker.Prepare(world);
            int start = looker.Found.Count;
            (int word, int end) = again.WordsOf(chunk);
            for (; word < end; word++)
            {
                ulong unfinished = 0;
                for (ulong bits = index.active[word]; bits != 0; bits &= bits - 1)
                {
                    if (looker.Found.Count > enough)
                        Volatile.Write(ref isTooMuch, 1);
                    if (Volatile.Read(ref isTooMuch) != 0)
                        return;
                    int bit = BitOperations.TrailingZeroCount(bits), body = (word << 6) + bit;
                    if (!index.LookAround(world, body, looker))
                        unfinished |= 1UL << bit;
                }
                again.Words[word] = unfinished;
            }
            found.Span[chunk] = (lane, start, looker.Found.Count);
        }
    }

    private void Look(World world, int body, Looker looker)
    {
        if (Settle(world, body))
            LookAround(world, body, looker);
    }

    /// <summary>Puts somebody where it stands, with a circle of no size and nobody watched. False when there is nobody to look for.</summary>
    private bool Settle(World world, int body)
    {
        if (!world.TiesDrawn)
            world.Bonds[body].Watched = Watches.None;
        int size = world.Islands[world.Bodies[body].Island].Count;
        if (size >= cap)
        {
            Remove(body);
            return false;
        }
        Place(body, world.At(body), IsSmall(size));
        bool isAlone = size == world.PeerCount;
        nodes[body].Clear.Radius = isAlone ? Circle.RadiusWithin(largest) : 0;
        return !isAlone;
    }

    /// <summary>Draws a circle and chooses whom to watch. False when somebody else's circle would have to be cut down, but others look too; then nothing was drawn.</summary>
    private bool LookAround(World world, int body, Looker looker)
    {
        int island = world.Bodies[body].Island, size = world.Islands[island].Count;
        bool small = IsSmall(size);
        double radius = largest;
        looker.ToWatch = 0;
        looker.HasToCut = false;
        Point at = world.At(body);
        int column = Coordinate(at.X), row = Coordinate(at.Z);
        (double west, double east) = FromEdges(at.X);
        (double south, double north) = FromEdges(at.Z);
        // One's own square first: whom it holds leaves the least room, and then the far ones matter less often.
        for (int i = 0; i < 9; i++)
        {
            int x = Around[i], z = Around[9 + i];
            double dx = x == 0 ? 0 : x < 0 ? west : east, dz = z == 0 ? 0 : z < 0 ? south : north;
            double reach = joinDistance + largest + radius;
            if ((dx * dx) + (dz * dz) > reach * reach * SquareMargin)
                continue;
            int bucket = Bucket(column + x, row + z);
            radius = LookInto(world, bucket, body, at, island, size, radius, looker);
            if (small)
                radius = LookInto(world, bucket + 1, body, at, island, size, radius, looker);
        }
        if (looker.HasToCut)
            return false;
        int watched = 0;
        for (int i = 0; i < looker.ToWatch; i++)
            // The others are far enough for circles.
            if (looker.Watch[i].Room < radius)
                world.Bonds[body].Watched[watched++] = looker.Watch[i].Body;
        nodes[body].Clear.Radius = Circle.RadiusWithin(radius);
        return true;
    }

    private static ReadOnlySpan<sbyte> Around => [0, -1, 1, 0, 0, -1, 1, -1, 1, 0, 0, 0, -1, 1, -1, -1, 1, 1];

    private double LookInto(World world, int bucket, int body, Point at, int island, int size, double radius, Looker looker)
    {
        int following;
        for (int other = heads[bucket]; other >= 0; other = following)
        {
            // Read now: cutting a circle down may move its owner to another bucket.
            following = nodes[other].Next;
            ref Circle circle = ref nodes[other].Clear;
            // Of one who looks at the same time nobody knows the radius; but it is no more than one's own may be.
            bool looksToo = looker.IsOneOfMany && IsActive(other);
            double apart = at.SquaredDistance(new Point(circle.X, circle.Z)), matters = joinDistance + radius + (looksToo ? radius : circle.Radius);
            // Beyond, not at: with circles of no size this is the join distance itself, which still counts as near.
            if (apart > matters * matters)
                continue;
            int otherIsland = world.Bodies[other].Island;
            if (otherIsland == island || world.Islands[otherIsland].Count + size > cap)
                continue;
            double squared = at.SquaredDistance(world.At(other));
            if (squared <= joinDistance * joinDistance)
            {
                // They merge in this flush or come not to fit, for sizes only grow in it: a pair of neither kind needs no guard. A newcomer, whose pair
                // may have to wait, stays active.
                Meet(looker, new Contact(island, otherIsland, body, other));
                continue;
            }
            int tight = other;
            if (!world.TiesDrawn)
            {
                if (!looksToo && IsWatching(world, other, body))
                    continue;
                double room = Math.Sqrt(apart) - joinDistance;
                tight = Watch(looker, other, looksToo ? room / 2 : room - circle.Radius);
            }
            if (tight >= 0)
                radius = Math.Min(radius, KeepClear(world, tight, at, looker));
        }
        return radius;
    }

    /// <summary>
    /// Notes one who leaves a circle little room, to be watched instead.
    /// </summary>
    /// <returns>Who is to be kept clear of by circles, since all watches are taken by others who leave even less; -1 when nobody.</returns>
    private static int Watch(Looker looker, int other, double room)
    {
        (double Room, int Body)[] watch = looker.Watch;
        if (looker.ToWatch < Watches.Most)
        {
            watch[looker.ToWatch++] = (room, other);
            return -1;
        }
        int most = 0;
        for (int i = 1; i < Watches.Most; i++)
            if (watch[i].Room > watch[most].Room)
                most = i;
        if (room >= watch[most].Room)
            return other;
        int instead = watch[most].Body;
        watch[most] = (room, other);
        return instead;
    }

    private static bool IsWatching(World world, int body, int other)
    {
        foreach (int watched in (ReadOnlySpan<int>)world.Bonds[body].Watched)
            if (watched == other)
                return true;
        return false;
    }

    /// <summary>The room that a neighbour leaves a circle around this place; where that is too little, its own circle is cut down.</summary>
    private double KeepClear(World world, int other, Point at, Looker looker)
    {
        ref Circle circle = ref nodes[other].Clear;
        double half = Math.Max(0, (Math.Sqrt(at.SquaredDistance(world.At(other))) - joinDistance) / 2);
        if (looker.IsOneOfMany && IsActive(other))
            return half;
        double centres = Math.Sqrt(at.SquaredDistance(new Point(circle.X, circle.Z))), room = centres - joinDistance - circle.Radius;
        if (room >= half)
            return room;
        if (looker.IsOneOfMany)
            looker.HasToCut = true;
        else
            CutDown(world, other, ref circle, centres - joinDistance - half);
        return half;
    }

    /// <summary>Makes a circle smaller, which holds for all its neighbours; activates its owner when that stands outside.</summary>
    private void CutDown(World world, int body, ref Circle circle, double radius)
    {
        circle.Radius = Circle.RadiusWithin(radius);
        if (!circle.Holds(world.At(body)))
            LeaveCircle(world, body, world.At(body));
    }

    private static void Meet(Looker looker, Contact contact)
    {
        // Members of one island look one after the other as a rule; a contact just noted need not be noted again.
        ref int last = ref looker.LastContact[contact.IslandB];
        if (last == contact.IslandA + 1)
            return;
        last = contact.IslandA + 1;
        looker.Contacts.Add(contact);
    }
}
