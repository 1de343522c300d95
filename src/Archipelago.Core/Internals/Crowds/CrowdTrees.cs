namespace Archipelago.Core.Internals.Crowds;

/// <summary>Takes a member out of the middle of its island's tree, where the island holds together without it.</summary>
internal static class CrowdTrees
{
    /// <summary>
    /// Hangs the parts that hang on a body onto one another, until nothing hangs on it any more. That succeeds exactly when the rest of the island is connected, whatever its tree
    /// looks like.
    /// </summary>
    /// <returns>False when the island would fall apart; the tree is whole all the same.</returns>
    public static bool TryFree(World world, int body, double leaveDistance)
    {
        double squared = leaveDistance * leaveDistance;
        bool isRoot = world.Bonds[body].Parent < 0;
        int last = -1;
        for (int child = world.Bodies[body].Next; child != body; child = world.Bodies[child].Next)
        {
            if (world.Bonds[child].Parent != body || TryHangNearest(world, child, body, squared) || TryHangAny(world, child, body, squared))
                continue;
            // Of the parts that hang on a root one has nothing left to hang on to: the others hang on it.
            if (!isRoot || last >= 0)
                return false;
            last = child;
        }
        if (last >= 0)
        {
            world.Bonds[last].Parent = -1;
            world.Bonds[body].Parent = last;
        }
        return true;
    }

    /// <summary>Hangs a part by its top onto the nearest member outside it, which is what nearly always can be done.</summary>
    private static bool TryHangNearest(World world, int child, int without, double squared)
    {
        Point at = world.At(child);
        int best = -1;
        for (int other = world.Bodies[child].Next; other != child; other = world.Bodies[other].Next)
        {
            double apart = at.SquaredDistance(world.At(other));
            if (other == without || apart > squared || world.HangsOn(other, child))
                continue;
            (squared, best) = (apart, other);
        }
        if (best < 0)
            return false;
        world.Bonds[child].Parent = best;
        return true;
    }

    /// <summary>Hangs a part by whichever of its members has somebody outside it in reach.</summary>
    private static bool TryHangAny(World world, int child, int without, double squared)
    {
        if (!AnyOutside(world, child, without))
            return false;
        for (int inside = world.Bodies[child].Next; inside != child; inside = world.Bodies[inside].Next)
        {
            if (!world.HangsOn(inside, child))
                continue;
            Point at = world.At(inside);
            for (int other = world.Bodies[inside].Next; other != inside; other = world.Bodies[other].Next)
            {
                if (other == without || at.SquaredDistance(world.At(other)) > squared || world.HangsOn(other, child))
                    continue;
                world.Bonds[child].Parent = -1;
                world.Link(other, inside);
                return true;
            }
        }
        return false;
    }

    private static bool AnyOutside(World world, int child, int without)
    {
        for (int other = world.Bodies[child].Next; other != child; other = world.Bodies[other].Next)
            if (other != without && !world.HangsOn(other, child))
                return true;
        return false;
    }
}
