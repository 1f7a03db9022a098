"""Currents files onto Currents topics: where each file goes (`places`), what that needs (`plan`), doing it (`run`)."""
