"""Writes Currents files to Currents topics: where each file goes (`places`), what it needs (`plan`), the work
(`run`)."""
