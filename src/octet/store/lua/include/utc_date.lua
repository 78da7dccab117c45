-- today(): the server's date in UTC, as 2026-11-22. Scripts have no `os.date`; this is the usual
-- count of days in eras of 400 years that begin in March, so that the leap day is a year's last.
-- include: clock
local function today()
  local days = math.floor(now_ms() / 86400000) + 719468
  local in_era = days % 146097
  local leap_days = math.floor(in_era / 1460) - math.floor(in_era / 36524)
    + math.floor(in_era / 146096)
  local year_of_era = math.floor((in_era - leap_days) / 365)
  local before = math.floor(year_of_era / 4) - math.floor(year_of_era / 100)
  local day_of_year = in_era - (365 * year_of_era + before)
  local march_month = math.floor((5 * day_of_year + 2) / 153)
  local day = day_of_year - math.floor((153 * march_month + 2) / 5) + 1
  local month = march_month < 10 and march_month + 3 or march_month - 9
  local year = year_of_era + math.floor(days / 146097) * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02d', year, month, day)
end
